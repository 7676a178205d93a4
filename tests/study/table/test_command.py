"""The command `table`: what it prints of runs in any state, and its mistakes."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import project
from project.commands import main
from project.core.config.yaml_files import parse_yaml
from tests.study.made_runs import write_run

PACKAGE = project.__name__


def write_study(root: Path, skip: tuple[str, ...] = ()) -> None:
    """Write runs of two rates and two widths, with two seeds each."""
    for number, (lr, width) in enumerate(((0.001, 8), (0.001, 16), (0.01, 8), (0.01, 16))):
        for seed in (0, 1):
            if (name := f"{number:04d}_seed{seed}") not in skip:
                config = {"seed": seed, "model": {"optimizer": {"lr": lr}, "net": {"width": width}}}
                accuracy = 0.5 + 100 * lr * (1 + seed) / 10 + width / 100
                write_run(root / name, config, best=1 / width + seed / 100, values={"val/loss": 0.5}, test=accuracy)


def table(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[str, str]:
    """Return what `table` writes to the standard output and to that of errors."""
    assert main(["table", *map(str, argv)]) == 0
    return capsys.readouterr()


def test_a_line_for_each_group_of_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mean ± standard deviation, rounded to two digits of it, for all settings that differ but the seed."""
    write_study(tmp_path)
    assert table(capsys, tmp_path)[0].splitlines() == [
        "lr     width  runs  best val/loss    test/accuracy    last val/loss",
        "0.001  8         2  0.1300 ± 0.0071  0.5950 ± 0.0071  0.5 ± 0",
        "0.001  16        2  0.0675 ± 0.0071  0.6750 ± 0.0071  0.5 ± 0",
        "0.01   8         2  0.1300 ± 0.0071  0.730 ± 0.071    0.5 ± 0",
        "0.01   16        2  0.0675 ± 0.0071  0.810 ± 0.071    0.5 ± 0",
    ]


def test_any_settings_may_make_the_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are averaged over, also settings other than seeds."""
    write_study(tmp_path)
    text = table(capsys, tmp_path, "--by", "optimizer.lr", "--metrics", "test/accuracy")[0]
    assert [line.split()[:2] for line in text.splitlines()] == [["lr", "runs"], ["0.001", "4"], ["0.01", "4"]]
    lines = table(capsys, tmp_path, "--by", "name", "--metrics", "accuracy")[0].splitlines()
    assert len(lines) == 9
    assert lines[1].split() == ["0000_seed0", "1", "0.59"]
    assert table(capsys, tmp_path, "--by", "net.width", "lr", "--metrics", "val/loss")[0].split()[:3] == [
        *("width", "lr", "runs")
    ]


def test_settings_that_are_equal_in_each_run_share_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--by fold` means the fold of training and validation, unless they differ."""
    for fold in (0, 1):
        data = {"train": {"fold": fold}, "val": {"fold": fold}}
        write_run(tmp_path / str(fold), {"data": data}, test=0.5 + fold / 4)
    lines = table(capsys, tmp_path, "--by", "fold", "--metrics", "test/accuracy")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["0", "1"]
    write_run(tmp_path / "2", {"data": {"train": {"fold": 2}, "val": {"fold": 0}}}, test=0.5)
    assert main(["table", str(tmp_path), "--by", "fold"]) == 2
    assert "'fold' may be data.train.fold or data.val.fold" in capsys.readouterr().err


def test_a_baseline_is_subtracted_pair_by_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each width is compared with its own baseline, and 1e-3 is the value 0.001."""
    write_study(tmp_path, skip=("0003_seed1",))
    for text in ("1e-3", "lr=0.001", "model.optimizer.lr=0.001"):
        lines = table(capsys, tmp_path, "--baseline", text, "--metrics", "accuracy")[0].splitlines()
        assert lines[3] == "0.01   8         2  0.730 ± 0.071    +0.13 [-0.44, +0.71]"
        assert lines[4] == "0.01   16        1  0.76             +0.09"
        assert lines[1].split()[-1] == "0.0071"  # a baseline is not compared
        assert lines[6:] == [
            "Δ: difference to lr 0.001, paired by seed; mean [95 % interval, Student's t]",
            "Δ test/accuracy: without a partner, and not compared: 0001_seed1",
        ]


def test_lines_are_sorted_by_any_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    write_run(tmp_path / "untested", {"seed": 0, "model": {"optimizer": {"lr": 5}, "net": {"width": 8}}})

    def first_cells(*options: str) -> list[str]:
        lines = table(capsys, tmp_path, *options)[0].splitlines()[1:]
        return [" ".join(line.split()[:2]) for line in lines]

    assert first_cells("--sort", "-accuracy") == ["0.01 16", "0.01 8", "0.001 16", "0.001 8", "5 8"]
    assert first_cells("--sort", "test/accuracy") == ["0.001 8", "0.001 16", "0.01 8", "0.01 16", "5 8"]
    assert first_cells("--sort", "-model.optimizer.lr")[0] == "5 8"


@pytest.mark.parametrize("state", ["failed", "stopped", "pruned", "running"])
def test_runs_that_did_not_finish_are_told_and_not_in_means(
    state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path)
    before = table(capsys, tmp_path)[0]
    config = {"seed": 2, "model": {"optimizer": {"lr": 0.01}, "net": {"width": 8}}}
    write_run(tmp_path / "more", config, state=state, reason="ValueError: x", best=100.0, test=100.0)
    text = table(capsys, tmp_path)[0]
    reason = " (ValueError: x)" if state == "failed" else ""
    assert text == f"{before}\nnot in the means: 1 {state}: more{reason}\n"


def test_runs_that_failed_before_they_had_a_directory_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their sweep knows of them: a setting was not valid, or the process was killed at once."""
    write_study(tmp_path)
    (tmp_path / ".sweep").mkdir()
    for name, state in (("0004_seed0", "failed"), ("0005_seed0", "begun"), ("0000_seed0", "finished"), ("plan", None)):
        (tmp_path / f".sweep/{name}.json").write_text(json.dumps({"state": state, "reason": "exit code 2; see x"}))
    text = table(capsys, tmp_path)[0]
    assert text.endswith("\n\nnot in the means: 1 failed: 0004_seed0 (exit code 2; see x)\n")


def test_what_could_not_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half-written files, runs of an earlier version, and runs that are there twice."""
    write_study(tmp_path)
    (tmp_path / "0000_seed0/config.yaml").write_text("model: [1")
    (tmp_path / "0001_seed0/eval/test/metrics.json").write_text("{")
    (tmp_path / "0002_seed0/summary.json").unlink()
    write_run(tmp_path / "copy", {"seed": 1, "model": {"optimizer": {"lr": 0.01}, "net": {"width": 16}}})
    notes = table(capsys, tmp_path)[0].partition("\n\n")[2].splitlines()
    assert notes[:3] == [
        "without summary.json, and counted as if finished: 0002_seed0",
        "not in the table, because config.yaml could not be read: 0000_seed0",
        "same settings as another run, and counted as a further one: copy",
    ]
    assert notes[3].startswith("0000_seed0: config.yaml, line 1")
    assert notes[4].startswith("0001_seed0: eval/test/metrics.json: ")


def test_a_metric_that_some_runs_lack_says_how_many_have_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a", {"seed": 0}, test=0.5)
    write_run(tmp_path / "b", {"seed": 1}, values={})
    assert table(capsys, tmp_path)[0] == "runs  test/accuracy\n   2  0.5 (n 1)\n"


def test_a_run_that_diverged_is_not_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a", {"seed": 0}, test=0.5)
    write_run(tmp_path / "b", {"seed": 1}, test=float("nan"))
    assert table(capsys, tmp_path)[0].splitlines()[1].split() == ["2", "nan", "±", "nan"]
    for run in ("a", "b"):  # the sum of a single loss is left out, also if it is NaN
        (tmp_path / run / "eval/test/metrics.json").write_text('{"mse": NaN, "sum": NaN}')
    assert table(capsys, tmp_path)[0].splitlines()[0].split() == ["runs", "test/mse"]


def test_several_roots_have_each_run_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "x/a", {"seed": 0}, test=0.5)
    write_run(tmp_path / "y/a", {"seed": 1}, test=0.7)
    text = table(capsys, tmp_path / "x", tmp_path / "y", tmp_path / "x/a", tmp_path)[0]
    assert text.splitlines() == ["runs  test/accuracy", "   2  0.60 ± 0.14"]


def test_a_wide_table_goes_on_below_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is shortened, and the settings are repeated."""
    write_study(tmp_path)
    whole = table(capsys, tmp_path)[0]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for columns in (200, 50, 10):
        monkeypatch.setenv("COLUMNS", str(columns))
        parts = table(capsys, tmp_path)[0].split("\n\n")
        assert len(parts) == {200: 1, 50: 2, 10: 4}[columns]
        assert all(part.startswith("lr     width") for part in parts)
        assert {word for part in parts for word in part.split()} == set(whole.split())
        assert columns == 10 or max(len(line) for part in parts for line in part.splitlines()) <= columns


def test_csv_has_all_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said under a table goes to the errors, so that the file contains nothing else."""
    write_study(tmp_path)
    write_run(tmp_path / "failed", {"seed": 5}, state="failed")
    text, errors = table(capsys, tmp_path, "--format", "csv", "--baseline", "lr=0.001", "--metrics", "accuracy")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert list(lines[0])[:6] == [
        *("lr", "width", "runs", "test/accuracy mean", "test/accuracy std", "test/accuracy n")
    ]
    assert [float(line["test/accuracy mean"]) for line in lines[:2]] == [(0.59 + 0.6) / 2, (0.67 + 0.68) / 2]
    assert float(lines[2]["Δ test/accuracy mean"]) == pytest.approx(0.135, abs=1e-12)
    assert lines[4]["lr"] == ""  # a run without this setting
    assert "not in the means: 1 failed: failed (done)" in errors


NAME = 'a|b_<i>&"c"$\\%\n{~^}\x1b[1m*日本`'


def test_texts_of_strangers_are_escaped_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "a", {"data": {"path": NAME}}, test=0.5)
    write_run(tmp_path / "b", {"data": {"path": "x"}}, test=0.5)
    shown = {name: table(capsys, tmp_path, "--format", name)[0] for name in ("text", "csv", "md", "latex", "html")}
    assert all("\x1b" not in text for text in shown.values())
    assert 'a|b_<i>&"c"$\\%\\n{~^}\\x1b[1m*日本`' in shown["text"]
    assert all(line.count("|") - line.count("\\|") == 4 for line in shown["md"].splitlines())
    assert r"a\|b_\<i>" in shown["md"]
    assert r"a\textbar{}b\_\textless{}i\textgreater{}\&" in shown["latex"]
    assert "a|b_&lt;i&gt;&amp;&quot;c&quot;" in shown["html"]
    assert shown["html"].isascii()


def test_html_is_a_table_with_headings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    text = table(capsys, tmp_path, "--format", "html", "--by", "lr", "--metrics", "accuracy")[0]
    assert '<tr><th scope="col">lr</th><th scope="col">runs</th><th scope="col">test/accuracy</th></tr>' in text
    assert '<tr><th scope="row">0.001</th><td>4</td><td>0.635 &#177; 0.047</td></tr>' in text
    assert "<caption>" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "widht"], "--by: there is no 'widht'; did you mean 'width'?\nknown: seed, model.optimizer.lr"),
        (["--metrics", "test/acuracy"], "--metrics: there is no 'test/acuracy'; did you mean 'test/accuracy'?"),
        (["--sort", "widht"], "--sort: there is no 'widht'; did you mean 'width'?"),
        (["--sort", "val/loss"], "--sort: 'val/loss' may be best val/loss or last val/loss; use more of its name"),
        (["--baseline", "7"], "--baseline: no setting in --by has the value '7'\nknown: 0.001, 0.01, 8, 16"),
        (["--baseline", "width=7"], "--baseline: no setting in --by has the value '7'\nknown: 8, 16"),
        (["--format", "xls"], "--format is 'xls'"),
        (["missing"], "missing does not exist"),
    ],
)
def test_mistakes_are_told(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path)
    assert main(["table", str(tmp_path), *options]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith(f"error: {message}")


def test_a_value_of_two_settings_is_no_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (one, two) in enumerate(((1, 2), (2, 1), (1, 1))):
        write_run(tmp_path / str(number), {"a": one, "b": two}, test=0.5)
    assert main(["table", str(tmp_path), "--baseline", "1"]) == 2
    assert capsys.readouterr().err == "error: --baseline: '1' is a value of several settings; use a=1 or b=1\n"


def test_a_directory_without_runs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} contains no run\nrun: python cli.py fit")


def test_table_imports_neither_torch_nor_pandas(tmp_path: Path) -> None:
    """The command starts at once, also where it reads curves."""
    write_run(tmp_path / "a", {"seed": 0}, state="", test=0.5)
    (tmp_path / "a/event").mkdir()
    (tmp_path / "a/event/events.out.tfevents.1").write_bytes(b"damaged")
    heavy = ("torch", "pytorch_lightning", "lightning_fabric", "torchmetrics", "tensorboard", "pandas", "PIL", "loguru")
    code = (
        f"import sys, json; from {PACKAGE}.commands import main; "
        f"assert main(['table', {str(tmp_path)!r}, '--format', 'csv']) == 0; "
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("runs,")
    assert parse_yaml(done.stderr.splitlines()[-1], "") == []


def test_no_name_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a terminal, a spreadsheet, LaTeX or a page: names of settings, metrics and runs come from files."""
    for number, text in enumerate(("=1+1", "[x](http://a)")):
        run = write_run(tmp_path / str(number), {"odd\x1b[31m": text, "lr": -0.5 - number})
        (run / "eval/te\nst").mkdir(parents=True)
        (run / "eval/te\nst/metrics.json").write_text('{"\\u202e\\ud800": 1}')
    write_run(tmp_path / "failed", {}, state="failed", reason="a\r\x1b[2J")
    shown = {name: table(capsys, tmp_path, "--format", name) for name in ("text", "csv", "md", "latex", "html")}
    for out, notes in shown.values():
        assert all(mark.isprintable() or mark == "\n" for mark in out + notes)
        assert r"\u202e" in out.replace("textbackslash{}", "")
    assert "'=1+1,-0.5," in shown["csv"][0]
    assert r"\[x\](http" in shown["md"][0]
    assert "{[}x]" in shown["latex"][0]

"""Tests of docs/studies.md: its commands and snippets run one after another, and its tables name what the code has."""

import csv
import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from project.core.cli.arguments import STAGES
from project.study.report.command import OPTIONS as REPORT_OPTIONS
from project.study.sweep.definition import _Keys as SweepKeys
from project.study.table.command import OPTIONS as TABLE_OPTIONS
from tests.template.conftest import ROOT, run
from tests.template.test_tour import DRIVER

PAGE = (ROOT / "docs/studies.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [line.partition("  #")[0] for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
SHORT = " --trainer.max_epochs 1"
FEWER = {"search.yaml": " --sweep.trials 2", "digits_cv.yaml": " --sweep.folds 2"}
SEEDS = range(3)


def section(title: str) -> str:
    return re.split(r"^##+ ", PAGE.partition(f"# {title}\n")[2], maxsplit=1, flags=re.M)[0]


def first_cells(title: str) -> str:
    """Return the first cells of the tables in a section, joined."""
    return " ".join(re.findall(r"^\| (.*?) \|", section(title), re.M))


def options(title: str) -> set[str]:
    """Return the options that a section names anywhere."""
    return set(re.findall(r"`--(\w+)", section(title)))


def test_keys_of_a_sweep_are_those_of_the_page() -> None:
    keys = re.findall(r"`(\w+)`", first_cells("Sweeps"))
    assert sorted(set(keys) & SweepKeys.__dataclass_fields__.keys()) == sorted(SweepKeys.__dataclass_fields__)


def test_options_of_the_page_are_those_of_the_commands() -> None:
    sweep = {name for title in ("Sweeps", "Workers, machines and kills") for name in options(title)}
    assert sweep - {"name", "PATH"} == STAGES["sweep"].keys()
    assert set(re.findall(r"`--(\w+)", first_cells("Tables"))) == TABLE_OPTIONS.keys() - {"help"}
    report = re.findall(r"--(\w+)", section("Reports") + section("Many runs") + section("While runs train"))
    assert set(report) == REPORT_OPTIONS.keys() - {"help"}
    assert options("Finders") == STAGES["find"].keys()


def test_yaml_of_the_page_is_that_of_the_files() -> None:
    for file in ("lr.yaml", "search.yaml"):
        (text,) = (text for kind, text in BLOCKS if text.startswith(f"# configs/sweeps/{file}\n"))
        _, _, expected = (ROOT / "configs/sweeps" / file).read_text().partition("\n")
        assert text.partition("\n")[2] == expected


def test_every_command_is_run_here_or_under_slurm() -> None:
    """`sbatch` runs in tests/scripts/test_slurm.py, and torchrun in tests/study/sweep."""
    known = ("python cli.py ", "sbatch ", "torchrun ")
    assert [line for line in COMMANDS if not line.startswith(known)] == []


@pytest.mark.slow
def test_snippets_and_commands_of_the_page(copy: Path) -> None:
    """Runs take one epoch, so the columns of the tables are those of the page, and not the values."""
    write_settings_of_folds(copy)
    for command in ["python cli.py fit --config configs/digits.yaml", *commands(" sweep ")]:
        fewer = next((option for file, option in FEWER.items() if file in command), "")
        run(copy, sys.executable, *shlex.split(command + SHORT + fewer)[1:])
    assert len([*(copy / "experiments/lr").glob("000?_seed?/eval/test/metrics.json")]) == 9
    assert len([*(copy / "experiments/search").glob("000?/summary.json")]) == 2
    check_folds(copy)
    check_tables(run(copy, sys.executable, "-c", DRIVER, *commands(" table ")))
    run(copy, sys.executable, "-c", DRIVER, *commands(" test "), *commands(" find "))
    assert (copy / "experiments/lr/ensemble/metrics.json").is_file()
    assert (copy / "experiments/.find/digits/lr.png").is_file()
    check_snippet(copy)
    check_reports(copy)


def commands(word: str) -> list[str]:
    """Return the commands of the page with a word, each once."""
    lines = (line for line in COMMANDS if word in line and line.startswith("python ") and "--serve" not in line)
    return [*dict.fromkeys(map(str.strip, lines))]


def write_settings_of_folds(folder: Path) -> None:
    (text,) = (text for kind, text in BLOCKS if text.startswith("# configs/digits_cv.yaml\n"))
    (folder / "configs/digits_cv.yaml").write_text(text)


def check_folds(folder: Path) -> None:
    (joined,) = (folder / "experiments/digits_cv/out_of_fold").iterdir()
    with (joined / "samples.csv").open(newline="") as opened:
        rows = [*csv.DictReader(opened)]
    assert {row["fold"] for row in rows} == {"0", "1"}
    assert len({row["index"] for row in rows}) == len(rows)
    metrics = json.loads((joined / "metrics.json").read_text())
    assert all(value.keys() == {"mean", "std", "n"} for value in metrics.values())


def check_tables(shown: str) -> None:
    """Check that the tables have the headings, groups and explanation of the page."""
    expected = [text for kind, text in BLOCKS if kind == "text" and text.startswith("lr ")]
    tables = [text.partition("\n")[2] for text in shown.split("$ python cli.py ")[1:]]
    assert len(tables) == len(expected) == 2
    for table, text in zip(tables, expected, strict=True):
        assert re.split("  +", table.splitlines()[0]) == re.split("  +", text.splitlines()[0])
        assert re.findall(r"^[\d.]+ +\d", table, re.M) == re.findall(r"^[\d.]+ +\d", text, re.M)
    assert tables[1].splitlines()[-1] == expected[1].splitlines()[-1]


def check_snippet(folder: Path) -> None:
    (snippet,) = (text for kind, text in BLOCKS if kind == "python")
    lines = [line for line in snippet.splitlines() if "needs pandas" not in line]  # which is no extra
    assert len(lines) == len(snippet.splitlines()) - 1
    shown = run(folder, sys.executable, "-c", "\n".join([*lines, "print(len(values))"])).splitlines()
    assert [line.split()[0] for line in shown[:9]] == [f"000{trial}_seed{seed}" for trial in SEEDS for seed in SEEDS]
    assert shown[9:] == ["1"]


def check_reports(folder: Path) -> None:
    for command in commands(" report "):
        run(folder, sys.executable, *shlex.split(command)[1:])
    for file in ("experiments/digits/report.html", "digits.html", "experiments/lr/report.html"):
        assert "<html" in (folder / file).read_text(encoding="utf-8")
    (command,) = (line for line in COMMANDS if "--serve" in line)
    process = subprocess.Popen(
        [sys.executable, *shlex.split(command)[1:]], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert b"0002_seed2" in urllib.request.urlopen(address, timeout=60).read()
    finally:
        process.kill()
        process.communicate()

"""The command replay: what it prints and writes, exit codes, and the messages of mistakes."""

import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from project.commands import main
from project.core.errors import ConfigError
from project.study.replay.files import replacing
from project.study.replay.observing import StepObserver
from project.study.runs import find_runs
from tests.conftest import TINY, Ran
from tests.core.distributed.test_processes import run as run_cli
from tests.study.replay.test_kinds import files_of
from tests.study.replay.test_observing import OBSERVED, train

Call = Callable[..., Ran]
Case = dict[str, Any]
CASES: list[Case] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
PLAIN: dict[str, Any] = TINY | {
    "data": {"batch_size": 80, "train": {"type": f"{OBSERVED}.NamedGlyphs", "split": "train"}},
    "trainer": TINY["trainer"] | {"limit_train_batches": 6, "log_every_n_steps": 2},
    "checkpoint": {"every_n_steps": 3, "keep": -1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run of 6 steps, with values logged at each second."""
    return train(tmp_path_factory.mktemp("replayed"), PLAIN)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that calls the command line in this process."""

    def called(*argv: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in argv])
        return Ran(code, *capfd.readouterr())

    return called


def test_replay_shows_and_writes_the_step(run: Path, call: Call) -> None:
    """From the checkpoint of step 3; the run stays as it was, and no command takes the replay for a run."""
    before = files_of(run)
    ran = call("replay", run, "--step", "5", "--trust")
    assert ran.code == 0, ran.err
    assert files_of(run) == before
    directory = run.parent / ".replay/run/step_000005"
    lines = ran.out.splitlines()
    assert re.fullmatch(r"replayed steps 4 to 5 from epoch_0000_step_000003.ckpt in \d+\.\d s", lines[0])
    assert re.fullmatch(r"\d+ logged values: all equal", lines[1])
    assert lines[2].startswith("step 5, epoch 1, batch 5: cross_entropy ")
    assert re.fullmatch(r"  largest sum of samples: glyph \d+ \S+, glyph \d+ \S+, .*", lines[3])
    assert lines[4].startswith("  largest gradients: net.")
    assert lines[-1].startswith(f"the page is {directory}/replay.html (")
    assert find_runs(run.parent) == [run]
    assert sorted(path.name for path in directory.iterdir()) == [
        *("pictures", "replay.html", "replay.json", "step_000005.npz")
    ]
    content = json.loads((directory / "replay.json").read_text())
    assert content["verdict"] == "equal"
    (step,) = content["steps"]
    assert (step["step"], len(step["samples"]), step["file"]) == (5, 80, "step_000005.npz")
    with np.load(directory / step["file"]) as batch:
        assert batch["image"].shape == (80, 1, 8, 8)
        image = next(tensor for tensor in step["tensors"] if tensor["name"] == "image")
        files = [file for file in image["pictures"] if file]
        assert len(files) == 64  # of 80
        worst = step["samples"][0]["row"]
        pixels = np.asarray(Image.open(directory / image["pictures"][worst]))
        assert np.allclose(pixels[..., 0] / 255, batch["image"][worst, 0], atol=1 / 255)


@pytest.mark.slow
def test_replay_goes_on_to_the_next_logged_step(run: Path, call: Call, tmp_path: Path) -> None:
    """Nothing is logged at step 1: the replay ends after step 2, and shows step 1 only."""
    ran = call("replay", run, "--step", "1", "--trust", "--to", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "going on to step 2, the next at which the run logged a value to compare" in ran.out
    assert "replayed steps 1 to 2 from the start of the run" in ran.out
    assert ": all equal" in ran.out
    assert [step["step"] for step in json.loads((tmp_path / "out/replay.json").read_text())["steps"]] == [1]


def test_changed_values_are_told_and_make_a_difference(run: Path, call: Call, tmp_path: Path) -> None:
    ran = call("replay", run, "--step", "4", "--steps", "2", "--trust", "--to", tmp_path / "out", "--seed", "5")
    assert ran.code == 1
    assert "changed from the run: --seed 5; values may differ from those of the run" in ran.out
    assert re.search(r"^\d+ of \d+ values differ, first \S+ at step 4: \S+ there, \S+ here$", ran.out, re.MULTILINE)
    assert json.loads((tmp_path / "out/replay.json").read_text())["verdict"] == "differs"


@pytest.mark.slow
def test_replay_replaces_only_a_replay(run: Path, call: Call, tmp_path: Path) -> None:
    """Files that somebody else put into the directory are kept."""
    out = tmp_path / "out"
    argv = ("replay", run, "--step", "3", "--trust", "--to", out)
    assert call(*argv).code == 0
    (out / "replay.html").write_text("old")
    assert call(*argv).code == 0
    assert (out / "replay.html").read_text() != "old"
    (out / "notes.txt").write_text("mine")
    ran = call(*argv)
    assert (ran.code, ran.err) == (
        2,
        f"error: {out} exists, and is no directory that replay has written; set another one with --to\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_signal_ends_a_replay_and_leaves_no_files(
    number: signal.Signals, code: int, run: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its own temporary directory, nor those that it created for its files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(StepObserver, "before_batch", lambda *_: signal.raise_signal(number))
    handler = signal.getsignal(number)
    ran = call("replay", run, "--step", "3", "--trust", "--to", tmp_path / "new/out")
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert signal.getsignal(number) == handler
    assert not list(tmp_path.iterdir())


def test_replay_of_the_same_step_may_be_written_meanwhile(tmp_path: Path) -> None:
    """The later one takes its place; what somebody else has written does not go."""
    out = tmp_path / "new/out"

    def write(directory: Path) -> None:
        (directory / "replay.json").write_text('{"format": "replay 1"}')

    with replacing(out) as first, replacing(out) as second:
        write(first)
        write(second)
    assert [path.name for path in out.parent.iterdir()] == ["out"]

    def write_over_foreign_file() -> None:
        with replacing(out) as third:
            (out / "mine.txt").touch()
            write(third)

    with pytest.raises(ConfigError, match="no directory that replay has written"):
        write_over_foreign_file()
    assert sorted(path.name for path in out.iterdir()) == ["mine.txt", "replay.json"]
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_untrusted_run_names_no_class(run: Path, call: Call, tmp_path: Path) -> None:
    ran = call("replay", run, "--step", "3", "--to", tmp_path / "out")
    assert ran.code == 2
    assert ran.err == (
        "error: model.net: the config.yaml of the run names 'tests.components.MLP', which is not a registered model, "
        "nor one of torch, torchmetrics and Lightning\n"
        "If you trust who trained it, add --trust (in Python: trust=True)\n"
    )
    assert not list(tmp_path.iterdir())


def test_step_that_fails_is_shown(call: Call, tmp_path: Path) -> None:
    """A callback ended the run in its first step, and ends the replay there, with what was seen until then."""
    callbacks = [{"type": f"{OBSERVED}.OwnStop"}]
    data = {"batch_size": 400, "train": {"type": f"{OBSERVED}.Broken", "split": "train"}}
    config = PLAIN | {"data": data, "trainer": PLAIN["trainer"] | {"callbacks": callbacks}}
    with pytest.raises(AssertionError):
        train(tmp_path, config)
    run = tmp_path / "experiments/run"
    ran = call("replay", run, "--step", "1", "--trust")
    assert ran.code == 1, ran.err
    message = "step 1: the loss is nan; it began in the batch: image is not finite"
    assert f"  the step ended with RunStopped: {message}" in ran.out
    assert message in ran.err
    assert re.search(r"  not finite: the batch: image is not finite in glyph \d", ran.out)
    assert "non_finite.ckpt" not in [path.name for path in (run.parent / ".replay").rglob("*")]


@pytest.mark.slow
def test_debugger_stops_in_training_step(
    run: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def runcall(step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        stopped.append(step.__name__)
        return step(*arguments, **named)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("pdb.runcall", runcall)
    ran = call("replay", run, "--step", "4", "--trust", "--pdb", "--to", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert stopped == ["training_step"]


def test_help_names_the_options(call: Call) -> None:
    ran = call("replay", "--help")
    assert ran.code == 0
    assert all(f"--{name} " in ran.out for name in ("step", "steps", "to", "pdb", "trust", "PATH"))


@pytest.mark.parametrize("case", CASES, ids=[case["mistake"] for case in CASES])
def test_mistake_gets_its_message_and_leaves_no_files(case: Case, run: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/file").touch()
    (tmp_path / "link").symlink_to(run)
    (tmp_path / "pictured/pictures").mkdir(parents=True)
    (tmp_path / "pictured/replay.json").write_text('{"format": "replay 1"}')
    (tmp_path / "pictured/pictures/mine.png").touch()
    (tmp_path / "piped").mkdir()
    os.mkfifo(tmp_path / "piped/replay.json")
    before = [sorted(path.rglob("*")) for path in (tmp_path, run.parent)]

    def insert(text: str) -> str:
        return text.replace("RUN", str(run)).replace("TMP", str(tmp_path))

    ran = call(*insert(case["argv"]).split())
    assert (ran.code, ran.out) == (2, ""), ran.err
    lines = [re.sub("^known: .*", "KNOWN", line) for line in ran.err.splitlines()]
    assert (
        "\n".join(lines) == "error: " + insert(case["message"].replace("RUN --", "\0")).replace("\0", "RUN --").strip()
    )
    assert [sorted(path.rglob("*")) for path in (tmp_path, run.parent)] == before


@pytest.mark.slow
def test_two_processes_show_the_whole_batch(tmp_path: Path) -> None:
    """The samples are those of both, in the order of the batch; the values are equal, and one process prints."""
    file = tmp_path / "two.yaml"
    trainer = PLAIN["trainer"] | {"devices": 2, "strategy": "ddp"}
    file.write_text(yaml.safe_dump(PLAIN | {"trainer": trainer, "name": "two", "root": str(tmp_path / "runs")}))
    run_cli(tmp_path, "fit", "--config", str(file))
    printed = run_cli(tmp_path, "replay", str(tmp_path / "runs/two"), "--step", "4", "--trust")
    assert printed.count("replayed step 4 from epoch_0000_step_000003.ckpt") == 1
    assert ": all equal" in printed
    directory = tmp_path / "runs/.replay/two/step_000004"
    (step,) = json.loads((directory / "replay.json").read_text())["steps"]
    assert len(step["samples"]) == 80
    with np.load(directory / step["file"]) as batch:
        by_row = {sample["row"]: sample for sample in step["samples"]}
        assert [by_row[row]["index"] for row in range(80)] == batch["index"].tolist()
        assert torch.unique(torch.from_numpy(batch["index"])).numel() == 80

"""Progress is a bar on a terminal and a line per epoch elsewhere; values are read from the device seldom."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from loguru import logger
from torch import Tensor

from project.core.cli import progress
from project.core.cli.epoch_line import main_values
from project.core.cli.main import main
from project.core.cli.progress import EpochLogger, EvaluationLogger, ProgressBar, is_terminal, scalars
from project.core.log import format_values
from tests.conftest import TINY, Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves


def call_on_a_terminal(*argv: str) -> tuple[int, bytes]:
    """Call the command line in a forked process, which has imported torch; return its exit code and what it shows."""
    process, terminal = pty.fork()
    if process == 0:
        code = 1
        try:
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # pytest replaced them
            code = main([*argv])
            sys.stdout.flush()
        finally:
            os._exit(code)
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown


def test_terminal_gets_a_bar_and_the_log_gets_lines(
    tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(tmp_path)
    code, shown = call_on_a_terminal("fit", "--config", tiny(), "--trainer.max_epochs", "2")
    assert code == 0, shown
    assert b"Epoch 1/2" in shown
    assert b"Epoch 2/2" in shown
    assert b"epoch 2/2" not in shown
    assert "DEBUG   epoch 2/2" in (tmp_path / "experiments/tiny/log.txt").read_text()


def test_dumb_terminal_gets_lines_without_colors(
    tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar would be lines of escape sequences."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)
    code, shown = call_on_a_terminal("fit", "--config", tiny())
    assert code == 0, shown
    assert b"epoch 1/1" in shown
    assert b"\x1b" not in shown


def test_line_of_an_epoch_fits_a_terminal() -> None:
    """A loss that is the only one is dropped, and what does not fit: first the metrics of training batches."""
    losses = {"lr-Adam": 1e-3, "train/ce": 1.5, "train/sum": 1.5, "train/accuracy": 0.5}
    losses |= {"val/sum": 1.0, "val/ce": 1.0, "val/accuracy": 0.75}
    assert format_values(main_values(losses, 66)) == "train/sum 1.5   val/sum 1   val/accuracy 0.75   lr 0.001"
    assert [*main_values(losses, 35, "val/accuracy")] == ["train/sum", "val/accuracy"]
    assert [*main_values(losses, 200)] == ["train/sum", "val/sum", "val/accuracy", "train/accuracy", "lr"]
    assert [*main_values(losses | {"train/m": 1.0}, 54)] == ["train/sum", "val/sum", "lr"]
    many = {f"val/metric{number}": 0.123456 for number in range(50)}
    assert 60 < len(format_values(main_values(losses | many, 80))) <= 80
    groups = {"lr-Adam/rest": 0.1, "lr-Adam/net.head": 0.2}
    assert main_values(groups, 80) == groups


def test_bar_of_the_yaml_works_without_a_terminal(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [{"type": "RichProgressBar"}]}}))
    assert ran.code == 0, ran.err


def test_tests_have_no_terminal() -> None:
    assert not is_terminal()


def test_bar_reads_values_once_per_logging_interval() -> None:
    reads: list[int] = []

    class Metrics(dict[str, Tensor]):
        def items(self) -> Any:
            reads.append(1)
            return {"train/sum": torch.tensor(0.5)}.items()

    trainer: Any = SimpleNamespace(log_every_n_steps=10, validating=False, callback_metrics=Metrics())
    bar = ProgressBar()
    for step in range(20):
        trainer.global_step = step
        assert bar.get_metrics(trainer, None) == {"train/sum": 0.5}  # type: ignore[arg-type]
    assert len(reads) == 2
    trainer.validating = True
    bar.get_metrics(trainer, None)  # type: ignore[arg-type]
    assert len(reads) == 3


def test_lines_have_the_scalars() -> None:
    metrics = {"val/sum": torch.tensor(0.5), "one": torch.tensor([2]), "many": torch.zeros(2)}
    assert scalars(metrics) == {"val/sum": 0.5, "one": 2.0}


def test_long_epoch_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    metrics: dict[str, Tensor] = {}
    trainer: Any = SimpleNamespace(
        callback_metrics=metrics,
        is_global_zero=True,
        max_epochs=-1,
        current_epoch=3,
        global_step=100,
        num_training_batches=100,
    )
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{message}")
    try:
        epochs: Any = EpochLogger("INFO")
        epochs.on_train_start(trainer, None)
        epochs.on_train_epoch_start(trainer, None)
        for batch in range(100):
            now = float(batch)
            if batch < 50:
                metrics["train/sum"] = torch.tensor(0.12345)  # logged again; the same value is new
            epochs.on_train_batch_end(trainer, None, None, None, batch)
        epochs.on_train_epoch_end(trainer, None)
        trainer.current_epoch = 4
        epochs.on_train_epoch_start(trainer, None)
        epochs.on_train_epoch_end(trainer, None)
        trainer.is_global_zero, trainer.max_epochs = False, 8
        epochs.on_train_end(trainer, None)
        trainer.is_global_zero = True
        metrics["train/sum"] = torch.tensor(2.0)
        epochs.on_train_epoch_end(trainer, None)
        epochs.on_train_end(trainer, None)
        epochs.on_train_end(trainer, None)
    finally:
        logger.remove(sink)
    assert lines == [
        "epoch 4/?   batch 32/100   train/sum 0.1235\n",
        "epoch 4/?   batch 63/100   train/sum 0.1235\n",
        "epoch 4/?   batch 94/100\n",
        "epoch 4/?   step 100   99.0 s   train/sum 0.1235\n",
        "epoch 5/8   step 100   0.0 s   train/sum 2\n",
    ]


def test_long_evaluation_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    batches = {"num_val_batches": [], "num_test_batches": [50, 100], "num_predict_batches": [float("inf")]}
    trainer: Any = SimpleNamespace(is_global_zero=True, datamodule=None, testing=True, predicting=False, **batches)
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="INFO", format="{message}")
    try:
        evaluations: Any = EvaluationLogger("INFO")
        evaluations.on_test_start(trainer, None)
        for batch in range(80):
            now += 1
            evaluations.on_test_batch_end(trainer, None, None, None, batch, 1)
        trainer.testing, trainer.predicting = False, True
        evaluations.on_predict_start(trainer, None)
        for batch in range(40):
            now += 1
            evaluations.on_predict_batch_end(trainer, None, None, None, batch)
    finally:
        logger.remove(sink)
    assert lines == [
        "eval/1   batch 31/100   31.0 s\n",
        "eval/1   batch 62/100   62.0 s\n",
        "predict   batch 31/?   31.0 s\n",
    ]


def test_every_evaluation_has_lines(cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also predictions, which take long if the net is called many times for each."""
    monkeypatch.setattr(progress, "_LINE_INTERVAL", -1)
    ran = cli("fit", "--config", tiny(), "--data.batch_size", "100")
    assert ran.code == 0, ran.err
    assert "val   batch 3/3   " in ran.err
    for stage, name in (("validate", "val"), ("test", "eval"), ("predict", "predict")):
        shown = cli(stage, "--ckpt_path", "experiments/tiny").err
        assert [f"{name}   batch {number}/3   " in shown for number in (1, 2, 3)] == [True] * 3, shown


Values = dict[str, float]
START = re.compile(r" epoch \d+/\d+   step \d+   [\d.]+ s\b")
LINE = re.compile(r" epoch (\d+)/\d+   (?:all values|step \d+   [\d.]+ s(?: since the resume)?)(.*)")


def epoch_lines(run: Path) -> list[tuple[int, Values]]:
    """Return the epoch, counted from 0, and all values of each epoch in log.txt."""
    lines = (run / "log.txt").read_text().splitlines()
    full = [after if "all values" in after else line for line, after in zip(lines, [*lines[1:], ""], strict=True)]
    found = [after for line, after in zip(lines, full, strict=True) if START.search(line)]
    matches = [match for line in found if (match := LINE.search(line))]
    pairs = [(int(match[1]), [part.rpartition(" ") for part in match[2].split("   ")[1:]]) for match in matches]
    return [(epoch - 1, {name: float(value) for name, _, value in values}) for epoch, values in pairs]


# Four epochs of five steps with an evaluation each and a validation in every other; values logged in several hooks.
ALL_VALUES: dict[str, Any] = RANDOM | {
    "model": TINY["model"] | RANDOM["model"] | {"type": "tests.core.random_components.Drawing"},
    "evaluation": {"every_n_epochs": 1, "at_start": True},
    "trainer": RANDOM["trainer"]
    | {
        "max_epochs": 4,
        "check_val_every_n_epoch": 2,
        "callbacks": [{"type": "tests.core.random_components.LogsAtStarts"}],
    },
}
# Lightning forgets at a resume what is logged for the end of the epoch.
RESUMED: dict[str, Any] = ALL_VALUES | {"trainer": ALL_VALUES["trainer"] | {"callbacks": None}}


def test_line_has_all_values_of_its_epoch_and_no_others(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(ALL_VALUES))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    lines, points = epoch_lines(run), curves(run)
    assert [epoch for epoch, _ in lines] == [0, 1, 2, 3]
    for epoch, values in lines:
        validates = epoch % 2 == 1
        assert {name for name in values if name.startswith("val/")} == (
            {"val/sum", "val/cross_entropy", "val/accuracy"} if validates else set()
        )
        logged = {
            name: [value for step, value in found if max(step - 1, 0) // 5 == epoch] for name, found in points.items()
        }
        last = {name: found[-1] for name, found in logged.items() if found and name != "epoch"}
        if epoch == 0:
            assert values["eval/sum"] != pytest.approx(logged["eval/sum"][0], rel=1e-3)  # that of the start
        assert values == {name: pytest.approx(value, rel=1e-3) for name, value in last.items()}
        metrics = json.loads((run / f"eval/epoch_{epoch:04d}/metrics.json").read_text())
        assert values["eval/sum"] == pytest.approx(metrics["sum"], rel=1e-3)
    assert {"drawn/end", "drawn/start", "drawn/val"} <= lines[1][1].keys()
    start = json.loads((run / "eval/step_000000/metrics.json").read_text())
    line = f"INFO    evaluation at step 0   eval/cross_entropy {start['cross_entropy']:.4g}   eval/sum"
    assert line in (run / "log.txt").read_text()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which `uninterrupted` keeps its run."""
    return tmp_path_factory.mktemp("uninterrupted") / "experiments"


@pytest.fixture
def uninterrupted(cli: Cli, tiny: Callable[..., str], tmp_path: Path, kept: Path) -> Path:
    """Return a copy of the directory of an uninterrupted run with the settings RESUMED."""
    if not kept.exists():
        assert cli("fit", "--config", tiny(RESUMED)).code == 0
        (tmp_path / "experiments").rename(kept)
    subprocess.run(["cp", "-a", str(kept), str(tmp_path)], check=True)  # keeps hard links
    return tmp_path / "experiments/tiny"


@pytest.mark.parametrize(
    ("hook", "count", "lines", "resumes_within"),
    [
        pytest.param("on_train_batch_start", 13, 2, True, marks=pytest.mark.slow),  # within epoch 2
        ("on_train_epoch_end", 4, 3, True),  # of epoch 3
        pytest.param("on_train_epoch_start", 4, 3, False, marks=pytest.mark.slow),  # after the line of epoch 2
        pytest.param("on_train_end", 1, 4, False, marks=pytest.mark.slow),  # after the line of epoch 3
    ],
)
def test_stopped_and_resumed_run_has_the_lines_of_an_uninterrupted_one(
    hook: str, count: int, lines: int, resumes_within: bool, cli: Cli, tiny: Callable[..., str], uninterrupted: Path
) -> None:
    expected = epoch_lines(uninterrupted)
    strike = {"type": "tests.core.random_components.Strike", "hook": hook, "count": count, "what": "exception"}
    config = tiny(RESUMED | {"trainer": RESUMED["trainer"] | {"callbacks": [strike]}})
    argv = ("fit", "--config", config, "--name", "struck", "--resume", "auto")
    assert cli(*argv).code == 1
    run = uninterrupted.with_name("struck")
    assert epoch_lines(run) == expected[:lines]
    ran = cli(*argv)
    assert ran.code == 0, ran.err
    assert epoch_lines(run) == expected
    assert len(re.findall(r"\d s since the resume", ran.err)) == resumes_within


def test_line_of_an_epoch_that_is_trained_again_is_logged_again(cli: Cli, uninterrupted: Path) -> None:
    run = uninterrupted
    (_, one), (_, two), three, four = epoch_lines(run)
    for step in ("epoch_0001_step_000007", "epoch_0001_step_000010"):
        assert cli("fit", "--resume", str(run / f"checkpoints/{step}.ckpt")).code == 0
    again = [(1, two), three, four]
    assert epoch_lines(run) == [(0, one), *again, *again, *again[1:]]
    assert cli("fit", "--resume", str(run / "checkpoints/epoch_0001_step_000010.ckpt"), "--name", "new").code == 0
    assert epoch_lines(run.with_name("new")) == again

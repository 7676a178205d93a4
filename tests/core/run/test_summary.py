"""The end of a run: summary.json and the last lines of the log say why it ended and what is left of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from project.core.config import trust
from tests.conftest import Cli, Ran, slow_except

HERE = "tests.core.run.test_summary"
STRIKE = "tests.core.random_components.Strike"


def stopping(patience: int) -> dict[str, Any]:
    """Return an EarlyStopping for which nothing improves enough."""
    return {"type": "EarlyStopping", "monitor": "val/sum", "patience": patience, "min_delta": 9.0}


def read(tmp_path: Path) -> dict[str, Any]:
    """Return summary.json of the run."""
    summary: dict[str, Any] = json.loads((tmp_path / "experiments/tiny/summary.json").read_text())
    return summary


def messages(ran: Ran) -> list[str]:
    """Return the messages of a run without their times and levels."""
    return [line[17:] for line in ran.err.splitlines() if line[:2].isdigit()]


class Stopper(Callback):
    """Callback that stops the run after a step."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == 3


ENDS: dict[str, tuple[dict[str, Any], str, int, int]] = {  # settings of the trainer, reason, steps, complete epochs
    "epochs": ({"max_epochs": 2}, "trainer.max_epochs (2) is reached", 4, 2),
    "steps": ({"max_epochs": 2, "max_steps": 3}, "trainer.max_steps (3) is reached", 3, 1),
    "early stopping": (
        {"max_epochs": 9, "callbacks": [stopping(1)]},
        "EarlyStopping: val/sum did not improve in the last 1 records. Best score: 2.288",
        4,
        2,
    ),
    "callback": (
        {"max_epochs": 9, "callbacks": [{"type": f"{HERE}.Stopper"}]},
        "Stopper.on_train_batch_end set trainer.should_stop",
        3,
        1,
    ),
    "no epochs": ({"max_epochs": 0}, "nothing was trained: trainer.max_epochs is 0", 0, 0),
    "no batches": ({"limit_train_batches": 0}, "nothing was trained: trainer.limit_train_batches is 0", 0, 0),
    "no time": (
        {"max_time": "00:00:00:00"},
        "nothing was trained: the time limit (0:00:00) is reached (trainer.max_time or Timer)",
        0,
        0,
    ),
}


@pytest.mark.parametrize("end", slow_except(ENDS, "callback", "no epochs"))
def test_finished_run_says_why_it_ended(end: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    trainer, reason, steps, epochs = ENDS[end]
    ran = cli("fit", "--config", tiny({"trainer": trainer}))
    assert ran.code == 0, ran.err
    assert f"finished: {reason}" in messages(ran)
    summary = read(tmp_path)
    facts = {name: summary[name] for name in ("state", "reason", "steps", "epochs")}
    assert facts == {"state": "finished", "reason": reason, "steps": steps, "epochs": epochs}
    for text in ("best ", "last checkpoint: ", "curves: ", "next: "):
        assert any(line.startswith(text) for line in messages(ran)) == (steps > 0), text


def test_summary_names_the_best_checkpoint_and_what_to_do_next(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Epochs count from 1, in the log and in the file; paths are those that exist."""
    ran = cli("fit", "--config", tiny({"trainer": {"max_epochs": 2}}))
    summary, run = read(tmp_path), "experiments/tiny"
    saved = torch.load(tmp_path / run / summary["best"].pop("file"), weights_only=True)
    assert saved["global_step"] == summary["best"]["step"] == 4
    value = saved["callbacks"]["EpochLogger"] and summary["best"].pop("value")
    assert summary["best"] == {"monitor": "val/sum", "mode": "min", "epoch": 2, "step": 4}
    assert (tmp_path / run / summary["last"]).samefile(tmp_path / run / "checkpoints/last.ckpt")
    link = summary["head"].pop("link")
    assert summary["head"] == {"step": 4, "epoch": 2}
    assert messages(ran)[-5:] == [
        f"best val/sum {value:.4g} in epoch 2, after step 4: {run}/checkpoints/best.ckpt",
        f"last checkpoint: {run}/checkpoints/last.ckpt",
        f"curves: tensorboard --logdir {run}/event",
        f"digest of all states until step 4: {link}",
        f"next: python cli.py test --ckpt_path {run}",
    ]
    assert cli(*messages(ran)[-1].split()[3:]).code == 0


def test_run_without_eval_set_is_validated(cli: Cli, tiny: Callable[..., str]) -> None:
    """The log names the stage that can evaluate it, and so does the one that cannot."""
    ran = cli("fit", "--config", tiny({"data": {"eval": None}}))
    command = "python cli.py validate --ckpt_path experiments/tiny"
    assert messages(ran)[-1] == f"next: {command}"
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    problem = "error: data.eval is not set; this stage needs it"
    assert (ran.code, ran.err.splitlines()[-2:]) == (2, [problem, f"Set it, or evaluate data.val: {command}"])
    assert cli(*command.split()[2:]).code == 0


def test_run_without_checkpoints_names_none(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"enable_checkpointing": False, "logger": False}}))
    assert [line.split()[0] for line in messages(ran)[-2:]] == ["finished:", "trained"]
    summary = read(tmp_path)
    assert (summary["best"], summary["last"]) == (None, None)


@pytest.mark.parametrize(
    ("what", "code", "state", "reason"),
    [
        ("SIGTERM", 75, "stopped", "stopped by SIGTERM"),
        pytest.param("exception", 1, "failed", "ZeroDivisionError: on purpose", marks=pytest.mark.slow),
    ],
)
def test_stopped_run_is_not_finished_until_it_is_resumed(
    what: str, code: int, state: str, reason: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    strike = {"type": STRIKE, "hook": "on_train_batch_start", "count": 4, "what": what}
    config = tiny({"trainer": {"max_epochs": 3, "callbacks": [strike]}})
    ran = cli("fit", "--config", config)
    first = read(tmp_path)
    assert (ran.code, first["state"], first["reason"], first["epochs"]) == (code, state, reason, 1)
    assert first["last"] == "checkpoints/last.ckpt"
    assert "continue: python cli.py fit --resume experiments/tiny" in messages(ran)
    ran = cli("fit", "--resume", "experiments/tiny")
    assert ran.code == 0, ran.err
    last = read(tmp_path)
    assert (last["state"], last["steps"], last["epochs"]) == ("finished", 6, 3)
    assert last["seconds"] > first["seconds"]
    left = 6 - (4 if what == "SIGTERM" else 2)
    assert any(
        f" s: {left} steps since the resume; in all 6 steps, 3 complete epochs" in line for line in messages(ran)
    )


def test_restart_after_a_kill_before_the_first_checkpoint_is_told_without_contradiction(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The log once said that there was no run, and then that it was moved."""
    strike = {"type": STRIKE, "hook": "on_train_batch_start", "count": 1, "what": "exception"}
    argv = ("fit", "--config", tiny({"trainer": {"callbacks": [strike]}}), "--resume", "auto")
    assert cli(*argv).code == 1
    ran = cli(*argv)
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    told = [line for line in messages(ran) if str(run) in line or "experiments/tiny " in line]
    assert told[:2] == [
        "the run in experiments/tiny ended before its first checkpoint; starting it again",
        f"moved the previous run from {run} to {tmp_path / 'experiments/.old/tiny.1'}",
    ]


class ReadsSummary(Callback):
    """Callback that keeps the summary of a run that trains, as a kill would leave it."""

    found: ClassVar[list[dict[str, Any]]] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.found.append(json.loads(Path("experiments/tiny/summary.json").read_text()))


def test_killed_run_is_not_finished_and_a_mistake_changes_nothing(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The file says `running` from the first step on, also of a run that had finished before."""
    over = {"trainer": {"callbacks": [{"type": f"{HERE}.ReadsSummary"}]}}
    ReadsSummary.found.clear()
    assert cli("fit", "--config", tiny(over)).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--checkpoint.monitor", "eval/sum", "--trainer.max_epochs", "2")
    assert (ran.code, read(tmp_path)["state"]) == (2, "finished"), ran.err
    assert cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2").code == 0
    states = [(each["state"], each["reason"], each["steps"]) for each in ReadsSummary.found]
    assert states == [("running", None, 0), ("running", None, 0), ("running", None, 2), ("running", None, 2)]
    assert ReadsSummary.found[-1]["best"]["step"] == 2
    ran = cli("fit", "--resume", "experiments/tiny")
    remedy = "; to train on, resume it with a larger --trainer.max_epochs"
    assert f"finished: nothing was left to train: trainer.max_epochs (2) is reached{remedy}" in messages(ran)
    assert read(tmp_path)["reason"] == "trainer.max_epochs (2) is reached"


class StopsAt(Callback):
    """Callback that stops the run after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.steps


def test_changed_callback_continues_the_run_that_it_stopped(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Without a change the run stays stopped; with one, only the callback decides."""
    over = {"trainer": {"max_epochs": 9, "callbacks": [{"type": f"{HERE}.StopsAt", "steps": 2}]}}
    assert cli("fit", "--config", tiny(over)).code == 0
    ran = cli("fit", "--resume", "experiments/tiny")
    assert "it was stopped before the resume; to train on, resume it with another setting of the callback" in ran.err
    assert read(tmp_path)["steps"] == 2
    assert cli("fit", "--resume", "experiments/tiny", "--trainer.callbacks.0.steps", "4").code == 0
    assert read(tmp_path)["steps"] == 4


def test_next_command_works(cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It has `--trust` if the run names what only the user knows to be harmless."""
    monkeypatch.setattr(trust, "_PACKAGES", trust._PACKAGES[:1])
    ran = cli("fit", "--config", tiny())
    assert "next: python cli.py test --ckpt_path experiments/tiny --trust" in messages(ran)
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 2
    assert cli("test", "--ckpt_path", "experiments/tiny", "--trust").code == 0


def test_changed_patience_takes_effect_on_a_resume(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Lightning restores the old one, while the log says that the setting has changed."""
    config = tiny({"trainer": {"max_epochs": 9, "callbacks": [stopping(1)]}})
    assert cli("fit", "--config", config).code == 0
    assert read(tmp_path)["steps"] == 4
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.callbacks", json.dumps([stopping(2)]))
    assert "trainer.callbacks.0.patience is 2, was 1" in ran.err
    assert read(tmp_path)["steps"] == 6


def last_points(run: Path) -> dict[str, Any]:
    """Return the last point of each curve of a split."""
    events = EventAccumulator(str(run / "event"))
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith(("train/", "val/", "eval/"))]
    return {tag: events.Scalars(tag)[-1] for tag in tags}


class Diverging(Callback):
    """Callback that logs a value that json does not have."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log_dict({"train/inf": float("inf"), "other": 1.0})


def test_last_values_have_the_names_and_steps_of_the_curves(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The last point of each curve is the value in summary.json, at the step in the names of files."""
    trainer = {"max_epochs": 2, "log_every_n_steps": 1, "callbacks": [{"type": f"{HERE}.Diverging"}]}
    settings = {"trainer": trainer, "visual": "tests.components.Row", "evaluation": {"every_n_epochs": 2}}
    assert cli("fit", "--config", tiny(settings)).code == 0
    run, summary = tmp_path / "experiments/tiny", read(tmp_path)
    points = last_points(run)
    assert {point.step for point in points.values()} == {summary["steps"]} == {4}
    values = summary["values"]
    assert values.pop("train/inf") is None
    assert points.pop("train/inf").value == float("inf")
    assert values == pytest.approx({tag: point.value for tag, point in points.items()})
    assert {"train/sum", "val/accuracy", "eval/accuracy"} < values.keys()
    files = [*(run / "progress").rglob("*.png"), *(run / "checkpoints").glob("epoch_*")]
    assert {path.stem for path in files} == {"epoch_0000_step_000002", "epoch_0001_step_000004"}
    assert summary["best"]["step"] in (2, 4)


@pytest.mark.slow
def test_values_of_a_resumed_run_are_those_of_its_curves(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A value that no later step logs again comes from the checkpoint."""
    assert cli("fit", "--config", tiny({"trainer": {"max_epochs": 2}})).code == 0
    argv = ["--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", "5"]
    assert cli("fit", "--resume", "experiments/tiny", *argv).code == 0
    points = {tag: point.value for tag, point in last_points(tmp_path / "experiments/tiny").items()}
    assert read(tmp_path)["values"] == pytest.approx(points)

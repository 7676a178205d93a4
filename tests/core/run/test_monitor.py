"""Monitored names: the default of the best checkpoint, and values that are not logged, or too late."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from project.core.config.settings import CheckpointSettings
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from project.core.run.monitor import resolve_monitor
from tests.conftest import TINY, Cli, slow_except

HERE = "tests.core.run.test_monitor"
Over = dict[str, Any]


@pytest.mark.parametrize(
    ("monitor", "val_names", "resolved"),
    [
        (None, [""], "val/sum"),
        (None, ["small"], "val/small/sum"),
        (None, [], None),
        (None, None, None),
        ("val/accuracy", [], None),
        ("val/accuracy", ["a", "b"], "val/accuracy"),
        ("train/sum", [], "train/sum"),
    ],
)
def test_monitor_defaults_to_the_sum_of_the_validation(
    monitor: str | None, val_names: list[str] | None, resolved: str | None
) -> None:
    assert resolve_monitor(CheckpointSettings(monitor=monitor), val_names) == resolved


def test_missing_monitor_of_several_sets_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"checkpoint\.monitor must name a value .* such as one of val/a/sum, val/b/sum"
    ):
        resolve_monitor(CheckpointSettings(), ["a", "b"])


def stopping(monitor: str, **trainer: Any) -> Over:
    """Return settings of a run with EarlyStopping."""
    return {"trainer": {"callbacks": [{"type": "EarlyStopping", "monitor": monitor}]} | trainer}


def plateau(monitor: str, interval: str = "epoch", **trainer: Any) -> Over:
    """Return settings of a run with ReduceLROnPlateau."""
    scheduler = {"type": "ReduceLROnPlateau", "monitor": monitor}
    return {"model": {"scheduler": scheduler, "interval": interval}, "trainer": trainer}


def best(monitor: str, **over: Any) -> Over:
    """Return settings of a run that keeps the best checkpoint."""
    return {"checkpoint": {"monitor": monitor, "mode": "max" if "accuracy" in monitor else "min"}} | over


def saving(monitor: str, **trainer: Any) -> Over:
    """Return settings of a run with ModelCheckpoint."""
    return {"trainer": {"callbacks": [{"type": "ModelCheckpoint", "monitor": monitor}]} | trainer}


UNKNOWN, NEVER, LATE = "no logged value is called '{}'", "'{}' is never logged: ", "'{}' is first logged after step "
DEFAULT_RUN = [1, 3, 6]  # places in REFUSED; mistakes.yaml has two more, and the others are of the same kinds
REFUSED: list[tuple[Over, str, str]] = [
    (stopping("val/acuracy"), "val/acuracy", UNKNOWN + "; did you mean 'val/accuracy'?"),
    (stopping("val_loss"), "val_loss", UNKNOWN),
    (saving("val/acuracy"), "val/acuracy", UNKNOWN + "; did you mean 'val/accuracy'?"),
    (plateau("val/summ"), "val/summ", UNKNOWN + "; did you mean 'val/sum'?"),
    (stopping("val/sum", limit_val_batches=0), "val/sum", NEVER + "trainer.limit_val_batches is 0"),
    (stopping("val/sum") | {"data": {"val": None}}, "val/sum", NEVER + "data.val is null"),
    (
        plateau("val/sum", check_val_every_n_epoch=3),
        "val/sum",
        NEVER + "trainer.check_val_every_n_epoch is 3, and trainer.max_epochs is 1",
    ),
    (stopping("val/sum", max_epochs=3, max_steps=1), "val/sum", LATE + "2, but the run ends after step 1"),
    (
        stopping("val/sum", check_val_every_n_epoch=None, val_check_interval=9, max_epochs=3),
        "val/sum",
        LATE + "9, but the run ends after step 6",
    ),
    (
        plateau("val/sum", check_val_every_n_epoch=2, max_epochs=4),
        "val/sum",
        LATE + "4, but needed after step 2",
    ),
    (plateau("val/sum", "step"), "val/sum", LATE + "2, but needed after step 1"),
    (
        stopping("eval/sum") | {"evaluation": {"every_n_epochs": 2}},
        "eval/sum",
        NEVER + "evaluation.every_n_epochs is 2, and trainer.max_epochs is 1",
    ),
    (stopping("train/sum", log_every_n_steps=0), "train/sum", NEVER + "trainer.log_every_n_steps is 0"),
    (
        stopping("train/sum", limit_train_batches=4, val_check_interval=3, accumulate_grad_batches=2),
        "train/sum",
        LATE + "2, but needed after step 1",
    ),
    (
        {"model": plateau("train/sum", "step")["model"] | {"train_metrics": "epoch"}},
        "train/sum",
        LATE + "2, but needed after step 1",
    ),
]


@pytest.mark.parametrize("case", slow_except(REFUSED, *(REFUSED[place] for place in DEFAULT_RUN)))
def test_monitor_without_a_value_in_time_is_refused_before_the_first_step(
    case: tuple[Over, str, str], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The kinds: a misspelled name, a value that is never logged, and one that is logged too late."""
    over, name, problem = case
    ran = cli("fit", "--config", tiny(over))
    lines = [line for line in ran.err.splitlines() if not line[:2].isdigit()]
    assert (ran.code, len(lines)) == (2, 2), ran.err
    assert f".monitor: {problem.format(name)}" in lines[0]
    assert not (tmp_path / "experiments").exists()


class Logging(Callback):
    """Callback that logs a value at the end of each epoch."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("val/own", 1.0)


LOGGING = {"type": f"{HERE}.Logging"}
STOPPING_OWN = {"type": "EarlyStopping", "monitor": "val/own"}
ACCEPTED: list[Over] = [
    {"trainer": {"callbacks": [LOGGING, STOPPING_OWN], "num_sanity_val_steps": 1}},
    {"trainer": {"callbacks": [LOGGING, STOPPING_OWN]}, "data": {"val": None}},
    plateau("val/sum", "step", val_check_interval=1),
    plateau("train/sum", "step", log_every_n_steps=1),
    stopping("lr-AdamW"),
    stopping("eval/sum") | {"evaluation": {"every_n_epochs": 1}},
    stopping("val/sum", val_check_interval=0.5, max_steps=1),
    stopping("val/sum", fast_dev_run=True),
    saving("step"),
    stopping("eval/sum", fast_dev_run=True) | {"evaluation": {"every_n_epochs": 2}},
    best("val/accuracy", trainer={"max_steps": 1}),
    best("val/accuracy", trainer={"limit_val_batches": 0}),
    best("eval/accuracy", evaluation={"every_n_epochs": 5}),
    saving("val/sum") | {"data": {"val": None}},
    best("val/sum", evaluation={"every_n_epochs": 1}, trainer={"max_epochs": 0}),
]


@pytest.mark.parametrize("over", slow_except(ACCEPTED, ACCEPTED[0], ACCEPTED[-1]))
def test_monitor_with_a_value_in_time_is_accepted(over: Over, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 0, ran.err


def test_unknown_name_beside_an_own_callback_gets_a_warning(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [LOGGING, STOPPING_OWN]}}))
    warning = "trainer.callbacks (EarlyStopping).monitor: only a callback of your own can log 'val/own'"
    assert (ran.code, ran.err.count(warning)) == (0, 1), ran.err


def test_monitor_that_a_module_does_not_log_is_refused_in_the_sanity_check(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The engine knows only the names that its own module logs before the sanity check."""
    module = {"model": TINY["model"] | {"type": f"{HERE}.LogsAtEpochEnd"}, "trainer": {"num_sanity_val_steps": 1}}
    ran = cli("fit", "--config", tiny(module), "--checkpoint.monitor", "val/accuracyy")
    assert (ran.code, ran.err.splitlines()[-2:]) == (
        2,
        [
            "error: checkpoint.monitor: no logged value is called 'val/accuracyy'; did you mean 'val/accuracy'?",
            "known: val/cross_entropy, val/sum, val/accuracy",
        ],
    )
    assert not (tmp_path / "experiments").exists()


def test_value_logged_at_the_end_of_an_epoch_chooses_the_best(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"model": TINY["model"] | {"type": f"{HERE}.LogsAtEpochEnd"}, "trainer": {"max_epochs": 3}})
    ran = cli("fit", "--config", config, "--checkpoint.monitor", "late")
    assert ran.code == 0, ran.err
    assert torch.load(tmp_path / "experiments/tiny/checkpoints/best.ckpt", weights_only=True)["epoch"] == 1


class LogsAtEpochEnd(SupervisedModule):
    """Module that logs `late` at the end of each epoch; the value is least in the second."""

    def on_train_epoch_end(self) -> None:
        self.log("late", float((self.current_epoch - 1) ** 2))

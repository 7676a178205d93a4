"""The logged value that selects the best checkpoint: its default, and names that are not logged."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from project.core.config.settings import CheckpointSettings, EvaluationSettings
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from project.core.run.monitor import resolve_monitor
from tests.conftest import TINY, Cli

HERE = "tests.core.run.test_monitor"


@pytest.mark.parametrize(
    ("monitor", "every_n_epochs", "val_names", "resolved"),
    [
        (None, 0, [""], "val/sum"),
        (None, 0, ["small"], "val/small/sum"),
        (None, 0, [], None),
        (None, 0, None, None),
        ("val/accuracy", 0, [], None),
        ("val/accuracy", 0, ["a", "b"], "val/accuracy"),
        ("train/sum", 0, [], "train/sum"),
        ("eval/sum", 2, [], "eval/sum"),
    ],
)
def test_monitor_defaults_to_the_sum_of_the_validation(
    monitor: str | None, every_n_epochs: int, val_names: list[str] | None, resolved: str | None
) -> None:
    evaluation = EvaluationSettings(every_n_epochs=every_n_epochs)
    assert resolve_monitor(CheckpointSettings(monitor=monitor), evaluation, val_names) == resolved


def test_monitor_that_means_nothing_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"checkpoint\.monitor must name a value .* such as one of val/a/sum, val/b/sum"
    ):
        resolve_monitor(CheckpointSettings(), EvaluationSettings(), ["a", "b"])
    with pytest.raises(ConfigError, match=r"monitor is eval/sum, but evaluation.every_n_epochs is 0 \(disabled\)"):
        resolve_monitor(CheckpointSettings(monitor="eval/sum"), EvaluationSettings(), [""])


def test_unknown_monitor_is_refused(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--checkpoint.monitor", "val/accuracyy")
    assert ran.code == 2
    message = "error: checkpoint.monitor: no logged value is called 'val/accuracyy'; did you mean 'val/accuracy'?"
    assert message in ran.err


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

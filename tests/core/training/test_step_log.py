"""All that a run records of a moment has one step: the number of optimizer steps done."""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves, read_events
from tests.modules.test_gan import GAN

# 3 optimizer steps in an epoch of 6 batches; validations after batches 3 and 6, of which the first is after step 1.
ACCUMULATED: dict[str, Any] = RANDOM | {
    "data": RANDOM["data"] | {"train": RANDOM["data"]["train"] | {"length": 48}},
    "visual": {"type": "tests.components.Row"},
    "progress": {"train": 1, "val": 1},
    "evaluation": {"every_n_epochs": 1, "at_start": True},
    "trainer": RANDOM["trainer"]
    | {
        "accumulate_grad_batches": 2,
        "val_check_interval": 3,
        "logger": [{"type": "CSVLogger"}],
        "callbacks": [{"type": "GradientMonitor"}],
    },
}


def numbers(names: Iterable[str], pattern: str) -> list[int]:
    """Return the numbers that a pattern finds in names, sorted."""
    return sorted(int(match[1]) for name in names if (match := re.fullmatch(pattern, name)))


def steps_of(points: list[tuple[int, float]]) -> list[int]:
    return [step for step, _ in points]


def test_curves_pictures_and_checkpoints_of_a_moment_have_the_same_step(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny(ACCUMULATED))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    points, events = curves(run), read_events(run / "event")
    steps, validations, ends = [1, 2, 3, 4, 5, 6], [1, 3, 4, 6], [3, 6]

    assert numbers([path.name for path in (run / "checkpoints").iterdir()], r"epoch_\d+_step_(\d+)\.ckpt") == steps
    gradient = next(name for name in points if name.startswith("gradient/"))
    for name in ("train/sum", "train/accuracy", "lr-AdamW", gradient):
        assert steps_of(points[name]) == steps, name
    assert steps_of(points["val/sum"]) == validations
    assert [event.step for event in events.Images("val/visual")] == validations
    assert steps_of(points["eval/sum"]) == [0, *ends]
    assert [event.step for event in events.Images("train/visual")] == ends
    assert (run / "eval/step_000000").is_dir()
    pattern = r"epoch_\d+_step_(\d+)\.png"
    for split, found in (("train", ends), ("val", validations)):
        assert numbers([path.name for path in (run / "progress" / split).iterdir()], pattern) == found

    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("train/sum", "lr-AdamW", "val/sum", "eval/sum"):
        logged = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        assert steps_of(points[name]) == steps_of(logged), name
        assert [value for _, value in points[name]] == pytest.approx([value for _, value in logged]), name
    together = ("train/sum", "lr-AdamW", gradient)
    assert sum(all(row[name] for name in together) for row in rows) == len(steps)  # one row per step


def test_steps_of_two_optimizers_are_those_of_the_checkpoints(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Each batch has two optimizer steps."""
    monitor = [{"type": "GradientMonitor"}, {"type": "tests.core.training.test_step_log.LogsAtStart"}]
    config = {"model": GAN, "data": {"val": None}, "checkpoint": {"every_n_steps": 1, "keep": -1}}
    ran = cli("fit", "--config", tiny(config | {"trainer": {"log_every_n_steps": 1, "callbacks": monitor}}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    points = curves(run)
    gradients = {next(name for name in points if name.startswith(f"gradient/{net}")) for net in ("gen", "disc")}
    for name in ("train/generator", "train/discriminator", "lr-Adam", "lr-SGD", "at_start", *gradients):
        assert steps_of(points[name]) == [2, 4], name
    assert numbers([path.name for path in (run / "checkpoints").iterdir()], r"epoch_\d+_step_(\d+)\.ckpt") == [2, 4]


class LogsAtStart(pl.Callback):
    """Callback that logs a value before the optimizers step."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        pl_module.log("at_start", float(trainer.global_step))


def test_step_that_is_logged_has_precedence(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Lightning's way to show a curve over another number."""
    callback = [{"type": "tests.core.training.test_step_log.LogsOwnStep"}]
    config = tiny({"data": {"val": None}, "trainer": {"log_every_n_steps": 1, "callbacks": callback}})
    assert cli("fit", "--config", config).code == 0
    assert steps_of(curves(tmp_path / "experiments/tiny")["own"]) == [100, 101]


class LogsOwnStep(pl.Callback):
    """Callback that logs a value with its step."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        pl_module.log_dict({"own": 1.0, "step": 99.0 + trainer.global_step})

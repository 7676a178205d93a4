"""Modes that would select the worst value are refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torchmetrics import MeanSquaredError
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from project.core.run.direction import better_mode
from tests.conftest import Cli, slow_except

METRICS = {"accuracy": MulticlassAccuracy(2), "matrix": MulticlassConfusionMatrix(2), "error": MeanSquaredError()}


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("val/sum", "min"),
        ("val/bce", "min"),
        ("eval/small/bce", "min"),
        ("train/accuracy", "max"),
        ("val/accuracy/small", "max"),
        ("val/small/accuracy", "max"),
        ("val/bce/accuracy", "max"),
        ("val/error", "min"),
        ("val/matrix", None),
        ("val/unknown", None),
        ("lr-AdamW", None),
        ("epoch", None),
    ],
)
def test_better_mode_of_a_value(name: str, better: str | None) -> None:
    """Among the names of datasets is one that is also a loss's."""
    terms = {metric: SimpleNamespace(component=component) for metric, component in METRICS.items()}
    module: Any = SimpleNamespace(loss_terms={"bce": None}, metric_terms=terms)
    datasets = ["small", "bce"] if name == "val/bce/accuracy" else ["small"]
    assert better_mode(name, datasets, module) == better


PLATEAU = {"type": "ReduceLROnPlateau", "monitor": "val/accuracy"}
WRONG = {
    "checkpoint.mode": ({"checkpoint": {"mode": "max"}}, "max, but a lower val/sum"),
    "trainer.callbacks (EarlyStopping).mode": (
        {"trainer": {"callbacks": [{"type": "EarlyStopping", "monitor": "val/accuracy"}]}},
        "min, but a higher val/accuracy",
    ),
    "trainer.callbacks (ModelCheckpoint).mode": (
        {"trainer": {"callbacks": [{"type": "ModelCheckpoint", "monitor": "val/sum", "mode": "max"}]}},
        "max, but a lower val/sum",
    ),
    "model.scheduler (ReduceLROnPlateau).mode": (
        {"model": {"scheduler": PLATEAU}},
        "min, but a higher val/accuracy",
    ),
    "model.scheduler.after (ReduceLROnPlateau).mode": (
        {"model": {"scheduler": {"type": "Warmup", "length": 1, "after": PLATEAU}}},
        "min, but a higher val/accuracy",
    ),
}


@pytest.mark.parametrize("setting", slow_except(WRONG, "checkpoint.mode"))
def test_mode_that_selects_the_worst_is_refused_before_the_first_step(
    setting: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    over, problem = WRONG[setting]
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 2
    right = "min" if "lower" in problem else "max"
    assert f"{setting} is {problem} is better; set it to {right}" in ran.err
    assert not (tmp_path / "experiments").exists()

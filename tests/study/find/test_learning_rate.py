"""`find lr` raises the rate from step to step, suggests one, and leaves the run directory as it is."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
from PIL import Image

from project.commands import main
from project.core.config.yaml_files import read_config
from project.study.find.learning_rate import RangeCurve, RangeTest
from project.study.find.short_training import ShortTraining
from tests.conftest import slow_except


class Watched(RangeTest):
    """Range test that keeps the rate of each group in each step."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.used: list[list[float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *arguments: Any) -> None:
        self.used.append([float(group["lr"]) for group in trainer.optimizers[0].param_groups])
        super().on_train_batch_end(trainer, *arguments)


def run(tiny: Callable[..., str], over: dict[str, Any], steps: int = 10) -> Watched:
    test = Watched(steps)
    ShortTraining(read_config(Path(tiny(over))), test).run()
    return test


def test_a_suggestion_its_picture_and_its_points_are_all_that_is_left(
    tiny: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    (root / "tiny").mkdir(parents=True)
    (root / "tiny" / "config.yaml").write_text("as it was")
    config = tiny({"root": str(root), "trainer": {"callbacks": ["Timer"], "logger": {"type": "CSVLogger"}}})
    assert main(["find", "lr", "--config", config, "--steps", "40"]) == 0
    output = capfd.readouterr().out
    with (root / ".find" / "tiny" / "lr.csv").open() as file:
        points = list(csv.DictReader(file))
    rates = [float(point["lr"]) for point in points]
    assert rates == pytest.approx([1e-7 * 10 ** (8 * i / 39) for i in range(len(rates))], rel=1e-4)
    suggested = float(output.rpartition("--model.optimizer.lr ")[2])
    assert 1e-4 < suggested < 1
    assert min(abs(np.log(rates) - np.log(suggested))) < 0.05
    with Image.open(root / ".find" / "tiny" / "lr.png") as picture:
        assert picture.size == (800, 480)
        assert sum(picture.getpixel((x, 200)) == (214, 39, 40) for x in range(800)) == 2  # the line of the suggestion
    assert sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()) == [
        ".find/tiny/lr.csv",
        ".find/tiny/lr.png",
        "tiny/config.yaml",
    ]
    assert (root / "tiny" / "config.yaml").read_text() == "as it was"


def test_groups_keep_the_ratio_of_their_rates_or_their_own(tiny: Callable[..., str]) -> None:
    groups = [{"match": "net.head.*", "lr_scale": 0.1}, {"match": "*.bias", "lr": 0.5}]
    test = run(tiny, {"model": {"groups": groups, "scheduler": {"type": "WarmupCosine", "warmup": 1}}})
    for rates, rate in zip(test.used, test.rates, strict=True):
        assert rates == pytest.approx([rate, 0.1 * rate, 0.5])


@pytest.mark.slow
def test_the_loss_of_a_step_is_the_mean_over_accumulated_batches(tiny: Callable[..., str]) -> None:
    whole = run(tiny, {"data": {"batch_size": 64}})
    parts = run(tiny, {"data": {"batch_size": 32}, "trainer": {"accumulate_grad_batches": 2}})
    assert parts.losses[0] == pytest.approx(whole.losses[0], rel=1e-5)
    assert (len(parts.losses), len(parts.used)) == (10, 20)


@pytest.mark.parametrize(
    "over",
    slow_except(
        [
            {"trainer": {"precision": "bf16-mixed"}},
            {"trainer": {"min_epochs": 5, "max_epochs": 5, "devices": 2, "strategy": "ddp"}},
            {"model": {"scheduler": {"type": "OneCycleLR", "max_lr": 1.0, "total_steps": 5}, "interval": "step"}},
            {"model": {"ema": 0.9, "clip": {"value": 1.0}}},
            {"model": {"optimizer": {"type": "SGD", "lr": 0.0001, "momentum": 0.9}}},
        ]
    ),
)
def test_the_rate_is_that_of_the_test_whatever_else_is_set(over: dict[str, Any], tiny: Callable[..., str]) -> None:
    test = run(tiny, over)
    assert [rate for (rate,) in test.used] == pytest.approx(test.rates)
    assert test.rates[0] == pytest.approx(1e-7)


def test_a_module_of_the_users_own_is_tested_without_its_schedule(tiny: Callable[..., str]) -> None:
    tree = read_config(Path(tiny())) | {"model": {"type": "tests.study.find.components.OwnModule"}}
    test = Watched(10)
    ShortTraining(tree, test).run()
    assert [rate for (rate,) in test.used] == pytest.approx(test.rates)


@pytest.mark.slow
def test_the_test_ends_when_the_loss_diverges(tiny: Callable[..., str]) -> None:
    test = run(tiny, {"model": {"optimizer": {"type": "SGD", "lr": 1.0}}, "trainer": {"max_steps": 3}}, 60)
    assert 30 < len(test.losses) <= 60
    test = run(tiny, {"model": {"optimizer": {"type": "SGD", "lr": 1.0, "weight_decay": 1e6}}}, 60)
    assert len(test.losses) < 60


@pytest.mark.parametrize("center", [1e-4, 1e-2])
def test_the_suggestion_is_where_the_loss_falls_most(center: float) -> None:
    rates = np.geomspace(1e-7, 10, 100)
    losses = 2 - 1 / (1 + (center / rates) ** 2) + 5 * (rates > 100 * center)
    suggestion = RangeCurve(rates, losses).suggestion()
    assert suggestion is not None
    assert suggestion == pytest.approx(center, rel=0.3)


def test_noise_alone_gives_no_suggestion() -> None:
    noise = np.random.default_rng(0).normal(size=100)
    assert RangeCurve(np.geomspace(1e-7, 10, 100), 2 + 0.1 * noise + np.linspace(0, 1, 100)).suggestion() is None

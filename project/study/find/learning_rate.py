"""A range test of the learning rate: the loss while the rate grows from step to step."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.config.yaml_files import Tree
from project.core.console import print_text
from project.core.errors import ConfigError, RunStopped
from project.core.files import write_text
from project.core.model.module import SupervisedModule
from project.study.find.picture import write_curve
from project.study.find.short_training import ShortTraining

_FIRST, _LAST = 1e-7, 10.0  # learning rates of the first and the last step
_MEMORY = 0.9  # weight of the earlier losses in the average that decides whether the training diverges
_WIDTH = 1 / 40  # standard deviation of the smoothing of the curve, as a part of the whole range


class RangeTest(Callback):
    """Callback that lets the learning rate grow exponentially, until the loss diverges.

    Groups of parameters keep the ratio of their rate to that of the optimizer; those with a rate of their own keep it.

    Args:
        steps: number of optimizer steps.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._scales: list[float | None] = []
        self._batches: list[Tensor] = []  # losses of the batches of a step
        self._average, self._best = 0.0, math.inf

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        name = type(pl_module).__name__
        if not pl_module.automatic_optimization or len(trainer.optimizers) != 1:
            raise ConfigError(
                f"find lr needs one optimizer that Lightning steps; model ({name}) has "
                f"{len(trainer.optimizers)} or steps them itself: compare learning rates with a sweep"
            )
        trainer.strategy.lr_scheduler_configs = []
        groups, rate = trainer.optimizers[0].param_groups, trainer.optimizers[0].defaults.get("lr")
        if not rate:
            raise ConfigError("find lr needs an optimizer with a learning rate; set model.optimizer.lr to any above 0")
        fixed = _groups_with_own_rate(pl_module)
        self._scales = [
            None if group.get("name") in fixed else float(group.get("initial_lr", group["lr"]) / rate)
            for group in groups
        ]
        if not any(self._scales):
            raise ConfigError("find lr: each of model.groups has a learning rate of its own; use `lr_scale` in them")

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        rate = _FIRST * (_LAST / _FIRST) ** (len(self.rates) / max(1, self.steps - 1))
        for group, scale in zip(trainer.optimizers[0].param_groups, self._scales, strict=True):
            if scale is not None and isinstance(group["lr"], Tensor):
                group["lr"].fill_(scale * rate)
            elif scale is not None:
                group["lr"] = scale * rate
        self._rate = rate

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        if outputs and outputs.get("loss") is not None:
            self._batches.append(outputs["loss"])
        if trainer.global_step == len(self.rates) or not self._batches:  # gradients are accumulated
            return
        # Lightning divides the loss of each batch by their number.
        loss = float(sum(self._batches)) * trainer.accumulate_grad_batches / len(self._batches)
        self._batches = []
        self.rates.append(self._rate)
        self.losses.append(loss)
        trainer.should_stop = self._diverges(loss) or len(self.rates) >= self.steps

    def _diverges(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        count = len(self.losses)
        self._average = _MEMORY * self._average + (1 - _MEMORY) * loss
        average = self._average / (1 - _MEMORY**count)
        self._best = min(self._best, average)
        return average > self._best + 3 * max(abs(self._best), self.losses[0] - self._best)


@dataclass
class RangeCurve:
    """Result of a range test.

    Args:
        rates: learning rates.
        losses: loss at each.
    """

    rates: np.ndarray
    losses: np.ndarray

    @property
    def smoothed(self) -> np.ndarray:
        """Losses averaged over neighbours: the weights fall with the distance in the logarithm of the rate."""
        width = _WIDTH * math.log(_LAST / _FIRST)
        distances = (np.log(self.rates)[:, None] - np.log(self.rates)) / width
        weights = np.exp(-(distances**2) / 2)
        averages: np.ndarray = weights @ self.losses / weights.sum(1)
        return averages

    def suggestion(self) -> float | None:
        """Return the rate at which the smoothed loss falls most; None if it never falls clearly."""
        smoothed = self.smoothed
        lowest = int(smoothed.argmin())
        noise = float(np.abs(self.losses - smoothed)[: lowest + 1].mean())
        if lowest < 2 or smoothed[0] - smoothed[lowest] <= noise:
            return None
        slopes = np.gradient(smoothed, np.log(self.rates))
        return float(self.rates[slopes[: lowest + 1].argmin()])


def find_learning_rate(tree: Tree, steps: int, directory: Path) -> None:
    """Run a range test, write lr.csv and lr.png, and print a suggestion.

    Args:
        tree: the merged yaml files and options.
        steps: number of optimizer steps.
        directory: directory of the files.

    Raises:
        RunStopped: the loss falls at no rate.
    """
    test = RangeTest(steps)
    training = ShortTraining(tree, test)
    training.run()
    finite = [number for number, loss in enumerate(test.losses) if math.isfinite(loss)]
    curve = RangeCurve(np.array(test.rates)[finite], np.array(test.losses)[finite])
    if len(finite) < 3:
        raise RunStopped(f"the loss is not finite after {len(finite)} steps at a learning rate of {_FIRST:g} and more")
    suggestion = curve.suggestion()
    rows = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    write_text(directory / "lr.csv", "lr,loss,smoothed\n" + "".join(f"{a:.6g},{b:.6g},{c:.6g}\n" for a, b, c in rows))
    write_curve(directory / "lr.png", curve.rates, curve.losses, curve.smoothed, suggestion)
    print_text(f"{len(finite)} steps are in {directory / 'lr.csv'} and {directory / 'lr.png'}\n")
    if suggestion is None:
        raise RunStopped("the loss falls at no learning rate by more than its noise; try more --steps")
    setting = "--model.optimizer.lr " if isinstance(training.model, SupervisedModule) else "a learning rate of "
    print_text(f"the loss falls fastest at {suggestion:.2g}: use {setting}{suggestion:.2g}\n")


def _groups_with_own_rate(module: pl.LightningModule) -> set[str]:
    groups = module.optimization.groups if isinstance(module, SupervisedModule) else []
    return {group.match for group in groups if group.lr is not None}

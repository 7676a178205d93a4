"""A step of a run in Python: `project.replay`."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from project.core.errors import ConfigError
from project.core.installation import COMMAND
from project.core.training.step_seeding import training_seed
from project.study.events import Curves
from project.study.replay.extent import check_steps
from project.study.replay.replaying import replay_steps
from project.study.replay.stretches import find_stretches
from project.study.replay.watching import StepWatcher

_SILENT = ("log", "log_dict", "log_immediately")


@dataclass
class Call:
    """A call of `training_step`: its arguments, and the states of the random number generators before it."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]
    random_states: tuple[Any, ...]


@dataclass
class ReplayedStep:
    """An optimizer step of a run, before it is done.

    Args:
        step: the step, as the x of the curves.
        module: the module with the state before the step, in training mode.
        trainer: its trainer, whose training has ended.
        calls: the calls of `training_step`; several where gradients are accumulated.
        seeds: the seed of each of these.
        logged: the values that the replay logged at the step, by name.

    Example::

        step = project.replay("experiments/digits", 120)
        step.batch["image"].mean()
        step.run()
    """

    step: int
    # A notebook shows the step: not all weights, samples and random states.
    module: pl.LightningModule = field(repr=False)
    trainer: pl.Trainer = field(repr=False)
    calls: list[Call] = field(repr=False)
    seeds: list[int]
    logged: dict[str, float] = field(default_factory=dict)

    @property
    def batches(self) -> list[Any]:
        """The batches, as `training_step` gets them, on the device."""
        return [call.arguments[0] if call.arguments else call.named["batch"] for call in self.calls]

    @property
    def batch(self) -> Any:
        """The batch; the last one where gradients are accumulated, whose values are logged."""
        return self.batches[-1]

    @property
    def batch_idx(self) -> int | None:
        """Index of that batch in its epoch, from 0; None if `training_step` does not take it."""
        call = self.calls[-1]
        found = call.arguments[1] if len(call.arguments) > 1 else call.named.get("batch_idx")
        return None if found is None else int(found)

    def run(self) -> Any:
        """Call `training_step` for the batches of the step, with its random numbers; return the last loss.

        It can be repeated: buffers, and the random number generators, are as before afterwards. Where the module does
        not return a loss, return what it returns.

        Raises:
            ConfigError: the module steps its optimizers itself, which would change the parameters.
        """
        if not self.module.automatic_optimization:
            raise ConfigError(
                f"{type(self.module).__name__} steps its optimizers in training_step, which would change `module`; "
                "call its parts with `batch` instead"
            )
        output: Any = None
        with isolate_rng(), _quietly(self.module, self.trainer), _own_buffers(self.module), torch.enable_grad():
            for call in self.calls:
                _set_random_states(call.random_states)
                with self.trainer.precision_plugin.train_step_context():
                    output = self.module.training_step(*deepcopy(call.arguments), **deepcopy(call.named))
        return output["loss"] if isinstance(output, Mapping) and "loss" in output else output


class StepCapture(StepWatcher):
    """Watcher that keeps the state before a step and the calls of `training_step` in it.

    Args:
        step: the step.
    """

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.calls: list[Call] = []
        self.seeds: list[int] = []
        self.tensors: dict[str, Tensor] = {}
        self.modes: dict[str, bool] = {}
        self.device = torch.device("cpu")
        self._restore: Callable[[], None] | None = None

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if not self.calls:
            self.tensors = {name: value.detach().clone() for name, value in _tensors(module)}
            self.modes = {name: part.training for name, part in module.named_modules()}
            self.device = module.device
        self.seeds.append(training_seed(trainer))
        original = module.training_step

        def record(*arguments: Any, **named: Any) -> Any:
            self.calls.append(Call(deepcopy(arguments), deepcopy(named), _random_states()))
            return original(*arguments, **named)

        vars(module)["training_step"] = record
        self._restore = lambda: vars(module).update(training_step=original)

    def after_batch(self, trainer: pl.Trainer) -> None:
        if self._restore is not None:
            self._restore()
            self._restore = None
        super().after_batch(trainer)

    def drop(self) -> None:
        self.calls, self.seeds, self.tensors = [], [], {}

    def load(self, module: pl.LightningModule) -> None:
        """Give a module the state before the step."""
        module.to(self.device)
        with torch.no_grad():
            for name, value in _tensors(module):
                value.copy_(self.tensors[name])
        for name, part in module.named_modules():
            part.training = self.modes.get(name, True)


def replay_step(run: Path, step: int, changes: Mapping[str, Any] | None = None, trust: bool = False) -> ReplayedStep:
    """Train a run again up to a step; see `project.replay`.

    Raises:
        ConfigError: the run has no such step, cannot be replayed, or was trained by several processes.
    """
    stretches, capture = find_stretches(run, step, step), StepCapture(step)
    if not changes:
        check_steps(run, step)
    threads = stretches[-1].environment.get("threads")
    processes = threads.get("processes") if isinstance(threads, dict) else None
    if not changes and isinstance(processes, int) and processes > 1:
        raise ConfigError(
            f"{run} was trained by {processes} processes, which Python cannot start here; use the command: "
            f"{COMMAND} replay {run} --step {step}"
        )
    trees = [dict(changes)] if changes else []
    with isolate_rng():
        replayed = replay_steps(run, step, step, [capture], changes=trees, stretches=stretches, trust=trust)
    assert replayed.module is not None
    assert replayed.trainer is not None
    if not capture.calls:
        raise ConfigError(f"step {step} of {run} was left out (skip_steps): nothing was computed in it")
    capture.load(replayed.module)
    logged = _logged_at(replayed.curves, step)
    return ReplayedStep(step, replayed.module, replayed.trainer, capture.calls, capture.seeds, logged)


def _logged_at(curves: Curves, step: int) -> dict[str, float]:
    found = {name: values[steps == step] for name, (steps, values, _) in curves.items()}
    return {name: float(values[-1]) for name, values in found.items() if len(values)}


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _random_states() -> tuple[Any, ...]:
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus


def _set_random_states(states: tuple[Any, ...]) -> None:
    own, numpys, torchs, gpus = states
    random.setstate(own)
    np.random.set_state(numpys)
    torch.set_rng_state(torchs)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)


@contextmanager
def _own_buffers(module: nn.Module) -> Iterator[None]:
    """Give a module copies of its buffers in the `with` block: those are changed, and the loss may refer to them."""
    buffers = [(part, name, value) for part in module.modules() for name, value in part.named_buffers(recurse=False)]
    for part, name, value in buffers:
        setattr(part, name, value.clone())
    try:
        yield
    finally:
        for part, name, value in buffers:
            setattr(part, name, value)


@contextmanager
def _quietly(module: pl.LightningModule, trainer: pl.Trainer) -> Iterator[None]:
    """Log nothing in the `with` block: the trainer has ended, and its files are gone."""
    before = {name: vars(module)[name] for name in _SILENT if name in vars(module)}
    trainer.loggers = []
    for name in _SILENT:
        setattr(module, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name in _SILENT:
            vars(module).pop(name)
        vars(module).update(before)

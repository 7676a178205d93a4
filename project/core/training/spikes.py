"""The stop at a spike of the loss, and what to do about it."""

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Ge, Gt
from loguru import logger
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.data.datamodule import sample_namer
from project.core.data.tensors import abbreviate
from project.core.errors import RunStopped
from project.core.installation import COMMAND

_STEP_IN_NAME = re.compile(r"_step_(\d+)\.ckpt$")  # stored: names of resumable checkpoints
# Stored: keys of the callback's state in checkpoints.
_LOSSES, _COUNT, _LAST = "losses", "count", "last"


@dataclass
class StepLoss:
    """Loss of a step whose value may still be on its way from the device.

    Args:
        step: the optimizer step.
        values: its loss, and the median of the losses before it; on the CPU.
        samples: indices of the samples of this process, by batch; empty if they are not known.
        event: what to wait for before `values` are read; None if they are there.
    """

    step: int
    values: Tensor
    samples: list[Tensor]
    event: Any = None

    def read(self) -> tuple[float, float]:
        """Return loss and median."""
        if self.event is not None:
            self.event.synchronize()
        loss, median = self.values.tolist()
        return loss, median


class StopAtSpike(Callback):
    """Callback that stops the run after a step whose loss is far above the losses before it, or not finite.

    The loss is the one that is minimized: the mean over accumulated batches and over processes. A spike exceeds
    `factor` times the median of the last `window` steps (of a negative median, it exceeds the median by `factor` - 1
    times its size); until there are so many, only a loss that is infinite or NaN stops the run. The message has the
    step, its samples, and the commands that replay the step and leave it out.

    A loss is looked at one step later, so that no step waits for a GPU; the step after the spike is trained before the
    run stops. Its state is saved in RUN/spike.ckpt, from which no run is resumed. A replay has the state before the
    spike. A run that is resumed from an earlier checkpoint stops at the same step again, unless `skip_steps` has it.

    Lightning's SpikeDetection compares with a running mean, which spikes themselves raise, waits for the device and all
    processes at each step, names the batch of an epoch but no step, and forgets the mean at a resume.

    A module that steps its optimizers itself must return its loss from `training_step`; else, a warning says that no
    loss is looked at.

    Args:
        factor: multiple of the median that a loss must exceed.
        window: number of steps that the median is taken over.
        run_directory: given by the engine.

    Example::

        trainer: {callbacks: [{type: StopAtSpike, factor: 3, window: 50}]}
    """

    def __init__(
        self, factor: Annotated[float, Gt(1)] = 3.0, window: Annotated[int, Ge(2)] = 50, run_directory: str = "."
    ) -> None:
        self.factor, self.window, self.run_directory = factor, window, Path(run_directory)
        self._losses = torch.zeros(window)  # of the last steps; the next one replaces number `_count % window`
        self._count = 0
        self._last: StepLoss | None = None  # None if it was looked at
        self._sum: Tensor | None = None  # loss of the current step
        self._samples: list[Tensor] = []
        self._step = 0  # the optimizer steps done before the current batch
        self._has_warned = False

    def state_dict(self) -> dict[str, Any]:
        last = self._last and [self._last.step, *self._last.read(), [each.tolist() for each in self._last.samples]]
        return {_LOSSES: self._losses.cpu(), _COUNT: self._count, _LAST: last}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if len(state_dict[_LOSSES]) != self.window:
            return  # the option was changed: the window fills from here on
        self._losses, self._count = state_dict[_LOSSES].clone(), state_dict[_COUNT]
        if last := state_dict[_LAST]:
            step, loss, median, samples = last
            self._last = StepLoss(step, torch.tensor([loss, median]), [torch.tensor(each) for each in samples])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._losses = self._losses.to(pl_module.device)
        self._sum, self._samples = None, []
        if self._last is not None and trainer.world_size > 1:
            self._last.samples = []  # those of a checkpoint are only those of one process

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            self._sum = loss.detach().float() if self._sum is None else self._sum + loss.detach()
        elif not pl_module.automatic_optimization and not self._has_warned:
            self._has_warned = True
            name = type(pl_module).__name__
            logger.warning(f"StopAtSpike looks at no loss: `training_step` of {name} returns none")
        if isinstance(batch, Mapping) and isinstance(batch.get("index"), Tensor):
            self._samples.append(batch["index"])
        if trainer.global_step == self._step:
            return  # batches are accumulated
        self._raise_if_spike(trainer)
        if self._sum is not None:
            self._last = self._compare(trainer, self._sum)
        self._sum, self._samples = None, []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._raise_if_spike(trainer)

    def _compare(self, trainer: pl.Trainer, loss: Tensor) -> StepLoss:
        """Send the loss of a step and the median before it to the CPU, and take the loss into the window."""
        if trainer.world_size > 1:
            reduced = trainer.strategy.reduce(loss, reduce_op="mean")
            assert isinstance(reduced, Tensor)
            loss = reduced
        median = self._losses.median() if self._count >= self.window else torch.full_like(loss, math.inf)
        values = torch.stack([loss, median])
        host = values.to("cpu", non_blocking=values.is_cuda)
        event = torch.cuda.Event() if values.is_cuda else None
        if event is not None:
            event.record()
        self._losses[self._count % self.window] = loss
        self._count += 1
        return StepLoss(trainer.global_step, host, self._samples, event)

    def _raise_if_spike(self, trainer: pl.Trainer) -> None:
        last, self._last = self._last, None
        if last is None:
            return
        loss, median = last.read()
        if math.isfinite(loss) and loss <= median + (self.factor - 1) * abs(median):
            return
        what = f"the loss is {loss:.6g}"
        if math.isfinite(loss):
            what += f", more than {self.factor:g} times the median of the {self.window} steps before it ({median:.6g})"
        raise RunStopped(f"step {last.step}: {what}{_describe_samples(trainer, last)}{self._save(trainer, last.step)}")

    def _save(self, trainer: pl.Trainer, step: int) -> str:
        """Save the state, and return what a message says of it, and of the commands that go on."""
        if trainer.checkpoint_callback is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return ""
        path = self.run_directory.absolute() / "spike.ckpt"  # not in checkpoints/: no run is resumed from it
        trainer.save_checkpoint(path, weights_only=False)
        saved = f"; the state after step {trainer.global_step} is in {path}"
        replay = f"\nReplay it: {COMMAND} replay {shlex.quote(str(self.run_directory))} --step {step}"
        if not trainer.lightning_module.automatic_optimization:
            return f"{saved}{replay}"
        steps = sorted({*getattr(trainer.fit_loop.epoch_loop, "skipped", ()), step})
        start = _newest_before(self.run_directory / "checkpoints", step)
        first = f"{COMMAND} fit --resume {shlex.quote(str(start))}" if start else "start the run again with --replace"
        return f"{saved}{replay}\nLeave it out, or it stops the run again: {first} --skip_steps '{steps}'"


def _describe_samples(trainer: pl.Trainer, last: StepLoss) -> str:
    """Return the indices of the samples of a step, over all processes, and the names of the first ones."""
    own = [index for batch in last.samples for index in batch.tolist()]
    parts: list[Any] = [own]
    if trainer.world_size > 1:
        parts = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, own)
    indices = [index for part in parts for index in part]
    name_of = sample_namer(trainer, "train", 0) if indices else None
    names = f" ({abbreviate(indices, name_of)})" if name_of else ""
    return f"; its samples are {', '.join(map(str, indices))}{names}" if indices else ""


def _newest_before(checkpoints: Path, step: int) -> Path | None:
    """Return the newest resumable checkpoint that was saved before a step; None if there is none."""
    found = {int(match[1]): path for path in checkpoints.glob("*.ckpt") if (match := _STEP_IN_NAME.search(path.name))}
    return found.get(max((number for number in found if number < step), default=-1))

"""What a replay looks at in the steps that were asked for; nothing of it changes the numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from project.core.errors import first_line
from project.core.training.lightning_internals.step_log import learning_rates
from project.core.training.non_finite import NonFiniteSearch, describe_gradients
from project.core.training.step_seeding import training_seed
from project.study.replay.activations import ActivationStatistics
from project.study.replay.batches import (
    Array,
    SeenBatch,
    join_tensors,
    non_finite_samples,
    sample_records,
    see_batch,
    tensor_records,
)
from project.study.replay.gradients import ParameterNorms
from project.study.replay.sample_losses import SampleLosses
from project.study.replay.step_record import StepRecord
from project.study.replay.watching import StepWatcher

OnStep = Callable[[StepRecord, dict[str, Array]], None]


@dataclass
class _Seen:
    """What a process has seen since the last optimizer step."""

    epoch: int
    rates: dict[str, float]
    batches: list[SeenBatch] = field(default_factory=list)
    non_finite: list[str] = field(default_factory=list)
    note: str = ""
    is_skipped: bool = False


class StepObserver(StepWatcher):
    """Watcher that makes a record of each step: batch, losses, gradients, changes, activations, rates, and NaN.

    Args:
        first: the first step, as the x of the curves.
        last: the last step.
        on_step: on the first process, gets each record, and the tensors of the batch by name.

    Example::

        observer = StepObserver(100, 101, lambda record, batch: print(record.step, record.losses))
        replay_steps(run, 100, 101, [observer])
    """

    def __init__(self, first: int, last: int, on_step: OnStep) -> None:
        super().__init__(first, last)
        self.on_step = on_step
        self.search, self.losses = NonFiniteSearch(), SampleLosses()
        self.activations, self.norms = ActivationStatistics(), ParameterNorms()
        self._seen: _Seen | None = None
        self._is_anomaly_mode = False

    def before_batch(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        if self._seen is None:
            self._start(trainer, module)
        assert self._seen is not None
        seed = training_seed(trainer)
        self._seen.batches.append(see_batch(trainer, batch, batch_idx + 1, seed))
        self.search.search_batch(batch)

    def before_skip(self, trainer: pl.Trainer, batch: Any) -> None:
        if self._seen is None:
            self._seen = _Seen(trainer.current_epoch + 1, {}, is_skipped=True)
            self._is_anomaly_mode = torch.is_anomaly_enabled()
        number = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        self._seen.batches.append(see_batch(trainer, batch, number, training_seed(trainer)))

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        if self._seen is None:
            return
        self.activations.is_paused = True
        origin = self.search.origin
        if not self.search.search_loss(loss):
            self._seen.non_finite.append(f"the loss is {loss.item()}{_began_in(origin)}")
        elif origin:
            self._seen.non_finite.append(f"{origin}, but the loss is finite")

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._seen is None:
            return
        self.activations.is_paused = False
        if bad := self.search.search_gradients(pl_module):
            self._seen.non_finite.append(f"{describe_gradients(bad)}{_began_in(self.search.origin)}")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        # 16-mixed may not have divided the gradients by their scale yet.
        if self._seen is not None and getattr(trainer.precision_plugin, "scaler", None) is None:
            self.norms.before_clipping(optimizer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._seen is None:
            return
        seen, self._seen.batches[-1].losses = self._seen, self.losses.last
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if not seen.batches[-1].losses.values and isinstance(loss, Tensor):
            count = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
            seen.batches[-1].losses.values = {"loss": loss.item() * count}

    def after_step(self, trainer: pl.Trainer, module: pl.LightningModule, steps: range) -> None:
        seen = self._seen
        assert seen is not None
        self._end()
        own = seen.batches, seen.non_finite
        parts = _all_gather(trainer, own)
        if trainer.is_global_zero:
            record, arrays = self._record(seen, steps, parts)
            self.on_step(record, arrays)

    def drop(self) -> None:
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._is_anomaly_mode = torch.is_anomaly_enabled()  # the trainer has set it back
        if self._seen is not None and isinstance(exception, Exception) and trainer.world_size == 1:
            # What was seen may be the reason, such as of a run that NonFiniteStop ended.
            self._seen.note = f"the step ended with {type(exception).__name__}: {first_line(exception)}"
            step = max(trainer.global_step + 1, self.first)
            self.after_step(trainer, pl_module, range(step, step + 1))
        self._end()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._is_anomaly_mode = torch.is_anomaly_enabled()
        self._end()

    def _start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._seen = _Seen(trainer.current_epoch + 1, learning_rates(trainer))
        self.losses.start(module)  # first: it copies the losses, without the hooks of the others
        self._is_anomaly_mode = torch.is_anomaly_enabled()
        self.search.start(module)
        self.activations.start(module)
        self.norms.start(module, trainer.optimizers)

    def _end(self) -> None:
        if self._seen is None:
            return
        self._seen = None
        for part in (self.losses, self.search, self.activations, self.norms):
            part.end()
        torch.autograd.set_detect_anomaly(self._is_anomaly_mode, check_nan=False)

    def _record(
        self, seen: _Seen, steps: range, parts: list[tuple[list[SeenBatch], list[str]]]
    ) -> tuple[StepRecord, dict[str, Array]]:
        """Return the record of a step, given what each process has seen."""
        # In the order of the whole batch: of each batch, the shares of the processes.
        batches = [batch for together in zip(*(own for own, _ in parts), strict=True) for batch in together]
        arrays = join_tensors(batches)
        samples, losses, divides = sample_records(batches)
        first = parts[0][0]
        record = StepRecord(steps[-1], seen.epoch, [each.number for each in first], [each.seed for each in first])
        record.samples, record.losses, record.divides = samples, losses, divides
        record.tensors, record.rates = tensor_records(batches, arrays), seen.rates
        record.skipped = seen.is_skipped
        record.non_finite = non_finite_samples(samples, arrays) + [
            f"{text}{f' (process {rank})' if rank else ''}" for rank, (_, found) in enumerate(parts) for text in found
        ]
        if seen.is_skipped:
            return record, arrays
        if self.activations.is_full:
            record.notes.append("activations: there are too many; the last are left out")
        record.activations, record.parameters = self.activations.records(), self.norms.records()
        record.notes += [seen.note] if seen.note else []
        record.notes += dict.fromkeys(batch.losses.note for batch in batches if batch.losses.note)
        return record, arrays


def _began_in(origin: str) -> str:
    return f"; it began in {origin}" if origin else ""


def _all_gather(trainer: pl.Trainer, own: tuple[list[SeenBatch], list[str]]) -> list[tuple[list[SeenBatch], list[str]]]:
    """Return what all processes have seen."""
    if trainer.world_size == 1:
        return [own]
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, own)
    return parts

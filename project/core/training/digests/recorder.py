"""DigestRecorder: the callback that writes digests of the steps of a training."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from project.core.config.settings import DigestSettings
from project.core.digest_file import DigestFile, Table
from project.core.training.digests.functions import HashDigester, SumDigester
from project.core.training.digests.tensors import (
    ModuleTensors,
    Named,
    average_tensors,
    flatten,
    gradients,
    group_settings,
    has_bits,
    optimizer_tensors,
)

Digester = HashDigester | SumDigester
_MAX_WAITING = 100  # rows


class StepDigests:
    """Digests of one step, which are collected while it is computed.

    Args:
        done: the number of optimizer steps done before.
        digester: computes the digests.
        has_all: whether all is digested, not the parameters alone.
    """

    def __init__(self, done: int, digester: Digester, has_all: bool) -> None:
        self.done, self.digester, self.has_all = done, digester, has_all
        self.left_out: list[str] = []
        self._state: list[tuple[list[str], Any]] = []  # names and digests
        self._settings: list[tuple[list[str], Any]] = []  # of optimizers
        self._batches: list[tuple[list[str], Any]] = []  # data, losses and gradients
        self._names: Counter[str] = Counter()
        self._num_batches, self._num_kept = 0, 0

    def add_parameters(self, tensors: ModuleTensors) -> None:
        """Add the parameters."""
        if tensors.parameter_names:
            self._state.append((tensors.parameter_names, self.digester.repeated(tensors.parameters())))

    def add_state(self, named: Named) -> None:
        """Add other state."""
        self._add(self._state, named)

    def start_batch(self, batch: object, is_first_try: bool) -> None:
        """Add the data of a batch; if the last batch was abandoned by a hook, in place of it."""
        if not is_first_try:
            del self._batches[self._num_kept :]
            self._num_batches -= 1
        self._num_kept = len(self._batches)
        number = f"{self._num_batches} " if self._num_batches else ""
        self._num_batches += 1
        self._add(self._batches, ((f"data {number}{path}".strip(), tensor) for path, tensor in flatten(batch, "")))

    def add_loss(self, loss: Tensor) -> None:
        """Add a loss of which gradients are computed."""
        self._add(self._batches, iter([(self._unique("loss", ""), loss)]))

    def add_optimizer_step(self, number: int, optimizer: Optimizer, names: dict[nn.Parameter, str]) -> None:
        """Add what an optimizer got: its settings, and the gradients."""
        settings = group_settings(optimizer, number)
        self._add(self._settings, ((self._unique(kind, path), tensor) for kind, path, tensor in settings))
        found = gradients(optimizer, names)
        self._add(self._batches, ((self._unique("gradient", name), tensor) for name, tensor in found))

    def row(self) -> tuple[list[str], Any]:
        """Return the names and digests in causal order."""
        parts = [*self._state, *self._settings, *self._batches]
        return [name for names, _ in parts for name in names], self.digester.join([part for _, part in parts])

    def _add(self, parts: list[tuple[list[str], Any]], named: Named) -> None:
        names, tensors = [], []
        for name, tensor in named:
            if has_bits(tensor):
                names.append(name)
                tensors.append(tensor)
            else:
                self.left_out.append(name)
        if names:
            parts.append((names, self.digester(tensors)))

    def _unique(self, kind: str, name: str) -> str:
        """Return a name; from its second use in the step on, with a number after its kind."""
        number = self._names[f"{kind} {name}"]
        self._names[f"{kind} {name}"] += 1
        return " ".join([kind, *([str(number)] if number else []), *([name] if name else [])])


class DigestRecorder(Callback):
    """Callback that writes digests of a training's steps to a file, in causal order within a step.

    The order is: parameters, buffers, optimizer state and averages before the step; learning rates and other settings
    of the optimizers; then data, loss and, as the optimizer got them, gradients. A second batch of a step has
    `data 1 ...` and `loss 1`. Rows wait in memory, and are written before a checkpoint is saved: a killed run loses
    those since the last checkpoint, which the resumed one writes again. With several processes, rank 0 writes what it
    has: the state of all, its own data and loss, and the gradients after they were averaged.

    It must be called before callbacks that change batches.

    Args:
        path: the file; rows after the first step of the training are cut.
        settings: what is digested, and how often.

    Example::

        replay_steps(run, 20, 30, watchers=[DigestRecorder(path, DigestSettings(all=1))])
    """

    def __init__(self, path: Path, settings: DigestSettings) -> None:
        self.path, self.settings = path, settings
        self._is_active = False
        self._file: DigestFile | None = None
        self._digester: Digester = HashDigester()
        self._tensors: ModuleTensors | None = None  # None if they must be listed
        self._names: dict[nn.Parameter, str] = {}
        self._step: StepDigests | None = None  # None if the current step is not digested
        self._done = -1  # optimizer steps before the current step
        self._is_in_batch = self._has_warned = False
        self._waiting: list[tuple[Table, int, Any]] = []
        self._hooks: list[RemovableHandle] = []
        if settings.all:  # as attributes of the object: hooks of the class would be called at each batch
            self.__dict__["on_before_backward"] = self._before_backward

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_active = trainer.is_global_zero
        device = trainer.strategy.root_device
        self._digester = HashDigester() if device.type == "cpu" else SumDigester(device)
        self._file = self._tensors = self._step = None
        self._done, self._is_in_batch = -1, False
        self._count = 1 if pl_module.automatic_optimization else len(trainer.optimizers)  # steps of a batch
        if self._is_active and self.settings.all:
            self._hooks = [
                optimizer.register_step_post_hook(partial(self._after_step, number))
                for number, optimizer in enumerate(trainer.optimizers)
            ]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tensors = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, _: int) -> None:
        if not self._is_active:
            return
        if self._file is None:  # not before: the start of a run may still fail
            self._file = DigestFile(self.path, trainer.global_step)
        if (done := trainer.global_step) != self._done:
            self._done, self._is_in_batch = done, False
            self._step = self._start_step(trainer, pl_module)
        if self._step is not None and self._step.has_all:
            self._step.start_batch(batch, is_first_try=not self._is_in_batch)
        self._is_in_batch = True

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        self._is_in_batch = False
        if self._step is not None and trainer.global_step != self._done:
            names, digests = self._step.row()
            if names:
                self._waiting.append((Table(self._digester.kind, tuple(names)), trainer.global_step, digests))
            self._warn_of(self._step.left_out)
            self._step = None
            if len(self._waiting) >= _MAX_WAITING:
                self._write()

    def on_save_checkpoint(self, *_: object) -> None:
        self._write()

    def on_exception(self, *_: object) -> None:
        if isinstance(self._digester, HashDigester):  # a device may have failed
            self._write()

    def teardown(self, *_: object, **__: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._write()

    def _start_step(self, trainer: pl.Trainer, module: pl.LightningModule) -> StepDigests | None:
        """Digest the state before a step, if it is due."""
        has_all = self._is_due(self.settings.all)
        if not has_all and not self._is_due(self.settings.parameters):
            return None
        if self._tensors is None or self._tensors.has_lazy:
            self._tensors = ModuleTensors(module)
            self._names = {parameter: name for name, parameter in module.named_parameters()}
            self._warn_of([f"parameter {name}" for name in self._tensors.left_out])
        step = StepDigests(self._done, self._digester, has_all)
        step.add_parameters(self._tensors)
        if has_all:
            step.add_state(self._tensors.buffers())
            step.add_state(optimizer_tensors(trainer.optimizers, self._names))
            step.add_state(average_tensors(trainer, module))
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            scales = flatten(scaler.state_dict() if scaler is not None else {}, "")
            step.add_state((f"scaler {path}", tensor) for path, tensor in scales)
        return step

    def _is_due(self, every: int) -> bool:
        """Return whether the current step is digested; in manual optimization, a batch may be several steps."""
        return every > 0 and (self._done + self._count) // every > self._done // every

    def _before_backward(self, trainer: pl.Trainer, module: pl.LightningModule, loss: Tensor) -> None:
        if self._step is not None and self._step.has_all:
            self._step.add_loss(loss)

    def _after_step(self, number: int, optimizer: Optimizer, *_: object) -> None:
        """Digest what an optimizer got. Not before its step, in which the gradients are computed."""
        if self._step is not None and self._step.has_all:
            self._step.add_optimizer_step(number, optimizer, self._names)

    def _write(self) -> None:
        rows, self._waiting = self._waiting, []
        if rows:
            assert self._file is not None
            digests = self._digester.fetch([row for _, _, row in rows])
            self._file.append([(table, step, row) for (table, step, _), row in zip(rows, digests, strict=True)])

    def _warn_of(self, left_out: list[str]) -> None:
        if left_out and not self._has_warned:
            self._has_warned = True
            which = f"{left_out[0]} is" if len(left_out) == 1 else f"{left_out[0]} and {len(left_out) - 1} others are"
            logger.warning(f"digests: {which} left out: sparse, or a part of a tensor")

"""A batch, done as Lightning's loops do it, without looking up at every batch what does not change.

These loops find out each time whose hooks there are and what they take, wrap each call into others, and divide and copy
the loss: a third of the time that a small net needs for a step of training, and more than its step of an evaluation.
"""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning.core.hooks import DataHooks
from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop
from pytorch_lightning.loops.fetchers import _DataFetcher, _DataLoaderIterDataFetcher
from pytorch_lightning.loops.optimization.automatic import ClosureResult
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.loops.utilities import _block_parallel_sync_behavior
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor

from project.core.overhead import is_empty


class Step:
    """What training and evaluation have in common.

    Args:
        loop: the loop over the batches.
        part: train, validation or test.
        method: the module's.
    """

    def __init__(self, loop: Any, part: str, method: str) -> None:
        trainer = loop.trainer
        self.loop, self.trainer, self.connector = loop, trainer, trainer._logger_connector
        self.module, self.strategy, self.method = trainer.lightning_module, trainer.strategy, method
        selector = trainer._data_connector._datahook_selector
        names = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        self.before, self.transfer, self.after = (getattr(selector.get_instance(name), name) for name in names)
        is_lightnings = getattr(self.transfer, "__func__", None) is DataHooks.transfer_batch_to_device
        self.stays = is_lightnings and self.strategy.root_device.type == "cpu"
        self.start, self.end = f"on_{part}_batch_start", f"on_{part}_batch_end"
        self.hooks = {hook: self._filled(hook) for hook in (self.start, self.end)}
        self.own = {hook: None if is_empty(self.module, hook) else getattr(self.module, hook) for hook in self.hooks}
        self.takes_number = is_param_in_hook_signature(getattr(self.module, method), "batch_idx", min_args=2)

    def move(self, batch: Any, index: int) -> Any:
        """The batch on the device, by way of the hooks."""
        batch = self.before(self.trainer.precision_plugin.convert_input(batch), index)
        copies = self.stays and _is_flat(batch)  # which is all that Lightning's own does then, slowly
        batch = {**batch} if copies else self.transfer(batch, self.strategy.root_device, index)
        return self.after(batch, index)

    def begin(self, batch: Any, index: int | None) -> None:
        """Tells `log` about the batch."""
        self.connector._first_loop_iter = self.connector._first_loop_iter is None
        results = self.loop._results
        results.batch, results.batch_size, results.dataloader_idx = batch, None, index

    def call(self, hook: str, *arguments: Any) -> Any:
        """Calls the callbacks' hooks and the module's, and returns what that returns."""
        self.module._current_fx_name = hook
        for call in self.hooks[hook]:
            call(self.trainer, self.module, *arguments)
        own = self.own[hook]
        answer = own(*arguments) if own else None
        self.module._current_fx_name = None
        return answer

    def run(self, batch: Any, number: int, *index: int) -> Any:
        """What the module's method returns."""
        self.module._current_fx_name = self.method
        arguments = (batch, number, *index) if self.takes_number else (batch, *index)
        try:
            return getattr(self.strategy, self.method)(*arguments)
        except StopIteration as error:
            raise RuntimeError(f"{self.method} raised StopIteration, which would end the epoch silently") from error

    def finish(self) -> None:
        """Takes over what was logged, if anybody called `log`."""
        if self.loop._results:
            self.connector.on_batch_end()
        self.loop._results.batch = None

    def _filled(self, hook: str) -> list[Callable[..., Any]]:
        """The callbacks'; overhead.py took those that are empty."""
        return [call for callback in self.trainer.callbacks if (call := getattr(callback, hook))]


class TrainingStep(Step):
    """Fetches a batch, calls the hooks and the module's `training_step`, and lets the optimizer step.

    Args:
        loop: the loop over the batches of an epoch.
    """

    def __init__(self, loop: _TrainingEpochLoop) -> None:
        super().__init__(loop, "train", "training_step")

    def __call__(self, data_fetcher: _DataFetcher) -> None:
        """Does the next batch.

        Raises:
            StopIteration: there is none, or a hook wants no more.
        """
        loop, progress = self.loop, self.loop.batch_progress
        batch, _, _ = next(data_fetcher)
        number = progress.current.ready
        progress.is_last_batch = data_fetcher.done
        batch = self.move(batch, 0)
        progress.increment_ready()
        self.begin(batch, None)
        outputs, stops = None, batch is not None and self.call(self.start, batch, number) == -1
        if batch is None:
            loop._warning_cache.warn("the training set yielded None, which is no batch: it is left out")
        elif stops:
            progress.increment_by(0, is_last_batch=True)
        else:
            self.strategy.on_train_batch_start(batch, number)
            progress.increment_started()
            outputs = self._optimize(batch, number)
        progress.increment_processed()
        loop.update_lr_schedulers("step", update_plateau_schedulers=False)
        if loop._num_ready_batches_reached():
            loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        if stops:
            raise StopIteration
        self.call(self.end, outputs, batch, number)
        self.finish()
        progress.increment_completed()
        if loop._results:
            self.connector.update_train_step_metrics()

    def _optimize(self, batch: Any, number: int) -> dict[str, Any]:
        """What `training_step` returned, as a dict."""
        outputs: dict[str, Any] = {}

        def closure() -> Tensor | None:
            nonlocal outputs
            with torch.enable_grad():
                outputs = self._forward(batch, number)
                loss = outputs.get("loss")
                if number % self.trainer.accumulate_grad_batches == 0:
                    optimization._on_before_zero_grad(optimizer)
                    optimization._optimizer_zero_grad(number, optimizer)
                if loss is not None:
                    self.module._current_fx_name = "backward"
                    self.strategy.backward(loss, optimizer)
                    outputs["loss"] = loss.detach()
            self.module._current_fx_name = "optimizer_step"
            return outputs.get("loss")

        optimization, optimizer = self.loop.automatic_optimization, self.trainer.optimizers[0]
        if self.loop._should_accumulate():
            with _block_parallel_sync_behavior(self.strategy):
                closure()
        else:
            steps = optimization.optim_progress.optimizer.step
            steps.increment_ready()
            self.module._current_fx_name = "optimizer_step"
            wrapped = self.strategy._lightning_optimizers[0]
            self.module.optimizer_step(self.trainer.current_epoch, number, wrapped, closure)
            steps.increment_completed()
        self.module._current_fx_name = None
        return outputs

    def _forward(self, batch: Any, number: int) -> dict[str, Any]:
        """What `training_step` returns, with the share of the loss in what is accumulated; nothing for None."""
        output = self.run(batch, number)
        count = self.trainer.accumulate_grad_batches
        if count == 1 and isinstance(output, dict) and isinstance(output.get("loss"), Tensor):
            return {**output}
        if output is None and self.trainer.world_size > 1:
            raise RuntimeError("training_step returned None, which skips a batch: several processes cannot do that")
        if output is None:
            self.loop._warning_cache.warn("training_step returned None: the batch is left out")
        result = ClosureResult.from_training_step_output(output, count)
        return {} if result.closure_loss is None else {**result.extra, "loss": result.closure_loss}


class EvaluationStep(Step):
    """Calls the hooks and the module's `validation_step` or `test_step`.

    Args:
        loop: the loop over the batches of all sets.
    """

    def __init__(self, loop: _EvaluationLoop) -> None:
        part = "test" if loop.trainer.testing else "validation"
        super().__init__(loop, part, f"{part}_step")
        self.several = loop._is_sequential and loop.num_dataloaders > 1

    def __call__(self, batch: Any, number: int, index: int) -> None:
        """Does a batch, the `number`th of the `index`th set."""
        loop, progress = self.loop, self.loop.batch_progress
        which = (index,) if self.several else ()
        batch = self.move(batch, index)
        progress.increment_ready()
        self.begin(batch, index if self.several else None)
        self.call(self.start, batch, number, *which)
        progress.increment_started()
        output = self.run(batch, number, *which)
        progress.increment_processed()
        self.call(self.end, output, batch, number, *which)
        self.finish()
        progress.increment_completed()
        if not self.trainer.sanity_checking:
            loop._has_run = True
            if loop._results:
                self.connector.update_eval_step_metrics(loop._seen_batches_per_dataloader[index])
            loop._seen_batches_per_dataloader[index] += 1
        if self.trainer.received_sigterm and not progress.is_last_batch:
            raise SIGTERMException


def _is_flat(batch: Any) -> bool:
    """Whether it is a dict of tensors on the CPU and of nothing else."""
    return type(batch) is dict and all(type(value) is Tensor and value.is_cpu for value in batch.values())


def is_plain(loop: Any, data_fetcher: _DataFetcher | None) -> bool:
    """Whether nothing is asked for that only Lightning's own loops do."""
    trainer = loop.trainer
    plain = isinstance(trainer.profiler, PassThroughProfiler)
    plain = plain and not isinstance(data_fetcher, _DataLoaderIterDataFetcher)
    if isinstance(loop, _TrainingEpochLoop):
        plain = plain and trainer.lightning_module.automatic_optimization
        plain = plain and not trainer.strategy.handles_gradient_accumulation
        plain = plain and not loop.automatic_optimization._skip_backward  # as in an epoch for the statistics of a norm
    return plain

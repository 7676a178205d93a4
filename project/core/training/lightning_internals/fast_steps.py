"""The work of Lightning's loops on one batch; what does not change from batch to batch is done once.

Lightning's loops look up hooks and their signatures at each batch, wrap each call into others, and divide and copy the
loss. For a small net, that is a tenth of a training step (docs/decisions/0006-fast-steps.md). The order of calls and
the numbers are Lightning's: tests/core/training/test_fast_steps.py compares them.
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

from project.core.training.lightning_internals.hooks import is_empty_hook


class Step:
    """Base of the steps of training and evaluation.

    Args:
        loop: the loop over the batches.
        stage: train, validation or test.
        method: the step method of the module.
    """

    def __init__(self, loop: Any, stage: str, method: str) -> None:
        trainer = loop.trainer
        self.loop, self.trainer, self.connector = loop, trainer, trainer._logger_connector
        self.module, self.strategy, self.method = trainer.lightning_module, trainer.strategy, method
        # `LightningModule.log` reads from `_current_fx_name` which hook it is called in. The name is set directly in
        # the module's dict: torch's `__setattr__` takes a microsecond.
        self.attributes = vars(self.module)
        selector = trainer._data_connector._datahook_selector
        names = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        self.before, self.transfer, self.after = (getattr(selector.get_instance(name), name) for name in names)
        is_lightnings = getattr(self.transfer, "__func__", None) is DataHooks.transfer_batch_to_device
        self.stays_on_cpu = is_lightnings and self.strategy.root_device.type == "cpu"
        self.start_hook, self.end_hook = f"on_{stage}_batch_start", f"on_{stage}_batch_end"
        hooks = (self.start_hook, self.end_hook)
        self.callback_hooks = {hook: self._callback_hooks(hook) for hook in hooks}
        self.module_hooks = {
            hook: None if is_empty_hook(self.module, hook) else getattr(self.module, hook) for hook in hooks
        }
        self.takes_batch_idx = is_param_in_hook_signature(getattr(self.module, method), "batch_idx", min_args=2)

    def to_device(self, batch: Any, dataloader_idx: int) -> Any:
        """Return the batch on the device, after the hooks of the transfer."""
        batch = self.before(self.trainer.precision_plugin.convert_input(batch), dataloader_idx)
        if self.stays_on_cpu and _is_flat(batch):
            batch = {**batch}  # the result of Lightning's own transfer, in a fraction of its time
        else:
            batch = self.transfer(batch, self.strategy.root_device, dataloader_idx)
        return self.after(batch, dataloader_idx)

    def start_batch(self, batch: object, dataloader_idx: int | None) -> None:
        """Set the batch that `LightningModule.log` refers to."""
        self.connector._first_loop_iter = self.connector._first_loop_iter is None
        results = self.loop._results
        results.batch, results.batch_size, results.dataloader_idx = batch, None, dataloader_idx

    def call_hooks(self, hook: str, *arguments: object) -> Any:
        """Call a hook of the callbacks and of the module; return what the module's hook returns."""
        self.attributes["_current_fx_name"] = hook
        for call in self.callback_hooks[hook]:
            call(self.trainer, self.module, *arguments)
        own = self.module_hooks[hook]
        answer = own(*arguments) if own else None
        self.attributes["_current_fx_name"] = None
        return answer

    def run_step(self, batch: object, batch_idx: int, *dataloader_idx: int) -> Any:
        """Call the module's step method and return its result."""
        self.attributes["_current_fx_name"] = self.method
        arguments = (batch, batch_idx, *dataloader_idx) if self.takes_batch_idx else (batch, *dataloader_idx)
        return getattr(self.strategy, self.method)(*arguments)

    def end_batch(self) -> None:
        """Have Lightning collect the logged values, if there are any."""
        if self.loop._results:
            self.connector.on_batch_end()
        self.loop._results.batch = None

    def _callback_hooks(self, hook: str) -> list[Callable[..., Any]]:
        return [call for callback in self.trainer.callbacks if (call := getattr(callback, hook))]


class TrainingStep(Step):
    """Fetch a batch, call the hooks and `training_step`, and step the optimizer.

    Args:
        loop: the loop over the batches of an epoch.
    """

    def __init__(self, loop: _TrainingEpochLoop) -> None:
        super().__init__(loop, "train", "training_step")

    def __call__(self, data_fetcher: _DataFetcher) -> None:
        """Train on the next batch.

        Raises:
            StopIteration: there is no batch left, or a hook ends the epoch.
        """
        loop, progress = self.loop, self.loop.batch_progress
        batch, _, _ = next(data_fetcher)
        batch_idx = progress.current.ready
        progress.is_last_batch = data_fetcher.done
        batch = self.to_device(batch, 0)
        progress.increment_ready()
        self.start_batch(batch, None)
        outputs, ends_epoch = None, batch is not None and self.call_hooks(self.start_hook, batch, batch_idx) == -1
        if batch is None:
            loop._warning_cache.warn("data.train yielded None instead of a batch; it is skipped")
        elif ends_epoch:
            progress.increment_by(0, is_last_batch=True)
        else:
            self.strategy.on_train_batch_start(batch, batch_idx)
            progress.increment_started()
            outputs = self._optimize(batch, batch_idx)
        progress.increment_processed()
        loop.update_lr_schedulers("step", update_plateau_schedulers=False)
        if loop._num_ready_batches_reached():
            loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        if ends_epoch:
            raise StopIteration
        self.call_hooks(self.end_hook, outputs, batch, batch_idx)
        self.end_batch()
        progress.increment_completed()
        if loop._results:
            self.connector.update_train_step_metrics()

    def _optimize(self, batch: object, batch_idx: int) -> dict[str, Any]:
        """Run `training_step` and backward, and the optimizer step if it is due; return the output as a dict."""
        outputs: dict[str, Any] = {}

        def closure() -> Tensor | None:
            nonlocal outputs
            with torch.enable_grad():
                outputs = self._forward(batch, batch_idx)
                loss = outputs.get("loss")
                if batch_idx % self.trainer.accumulate_grad_batches == 0:
                    optimization._on_before_zero_grad(optimizer)
                    optimization._optimizer_zero_grad(batch_idx, optimizer)
                if loss is not None:
                    self.attributes["_current_fx_name"] = "backward"
                    self.strategy.backward(loss, optimizer)
                    outputs["loss"] = loss.detach()
            self.attributes["_current_fx_name"] = "optimizer_step"
            return outputs.get("loss")

        optimization, optimizer = self.loop.automatic_optimization, self.trainer.optimizers[0]
        if self.loop._should_accumulate():
            with _block_parallel_sync_behavior(self.strategy):
                closure()
        else:
            steps = optimization.optim_progress.optimizer.step
            steps.increment_ready()
            self.attributes["_current_fx_name"] = "optimizer_step"
            wrapped = self.strategy._lightning_optimizers[0]
            self.module.optimizer_step(self.trainer.current_epoch, batch_idx, wrapped, closure)
            steps.increment_completed()
        self.attributes["_current_fx_name"] = None
        return outputs

    def _forward(self, batch: object, batch_idx: int) -> dict[str, Any]:
        """Run `training_step`; return its output, with the loss divided by the number of accumulated batches."""
        output = self.run_step(batch, batch_idx)
        count = self.trainer.accumulate_grad_batches
        if count == 1 and isinstance(output, dict) and isinstance(output.get("loss"), Tensor):
            return {**output}
        if output is None and self.trainer.world_size > 1:
            raise RuntimeError("training_step returned None to skip a batch; several processes cannot do that")
        if output is None:
            self.loop._warning_cache.warn("training_step returned None; the batch is skipped")
        result = ClosureResult.from_training_step_output(output, count)
        return {} if result.closure_loss is None else {**result.extra, "loss": result.closure_loss}


class EvaluationStep(Step):
    """Call the hooks and `validation_step` or `test_step`.

    Args:
        loop: the loop over the batches of all datasets.
    """

    def __init__(self, loop: _EvaluationLoop) -> None:
        stage = "test" if loop.trainer.testing else "validation"
        super().__init__(loop, stage, f"{stage}_step")
        self.has_several_loaders = loop._is_sequential and loop.num_dataloaders > 1

    def __call__(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        """Evaluate a batch."""
        loop, progress = self.loop, self.loop.batch_progress
        index = (dataloader_idx,) if self.has_several_loaders else ()
        batch = self.to_device(batch, dataloader_idx)
        progress.increment_ready()
        self.start_batch(batch, dataloader_idx if self.has_several_loaders else None)
        self.call_hooks(self.start_hook, batch, batch_idx, *index)
        progress.increment_started()
        output = self.run_step(batch, batch_idx, *index)
        progress.increment_processed()
        self.call_hooks(self.end_hook, output, batch, batch_idx, *index)
        self.end_batch()
        progress.increment_completed()
        if not self.trainer.sanity_checking:
            loop._has_run = True
            if loop._results:
                self.connector.update_eval_step_metrics(loop._seen_batches_per_dataloader[dataloader_idx])
            loop._seen_batches_per_dataloader[dataloader_idx] += 1
        if self.trainer.received_sigterm and not progress.is_last_batch:
            raise SIGTERMException


class EvaluationLoop(_EvaluationLoop):
    """Loop over the batches of an evaluation.

    Args:
        old: the loop that this one replaces.
    """

    def __init__(self, old: _EvaluationLoop) -> None:
        super().__init__(old.trainer, old._trainer_fn, old._stage, old.verbose, old.inference_mode)
        self._step: EvaluationStep | None = None

    def on_run_start(self) -> None:
        super().on_run_start()
        self._step = EvaluationStep(self) if supports_fast_step(self, self._data_fetcher) else None

    def _evaluation_step(self, batch: Any, batch_idx: int, dataloader_idx: int, dataloader_iter: Any) -> None:
        if self._step is None:
            super()._evaluation_step(batch, batch_idx, dataloader_idx, dataloader_iter)
        else:
            self._step(batch, batch_idx, dataloader_idx)


def supports_fast_step(loop: Any, data_fetcher: _DataFetcher | None) -> bool:
    """Return whether a loop needs nothing that only Lightning's own steps support."""
    trainer = loop.trainer
    if not isinstance(trainer.profiler, PassThroughProfiler):
        return False
    if isinstance(data_fetcher, _DataLoaderIterDataFetcher):
        return False
    if not isinstance(loop, _TrainingEpochLoop):
        return True
    # StochasticWeightAveraging sets `_skip_backward` in an epoch that only collects the statistics of batch norm.
    skips_backward = loop.automatic_optimization._skip_backward
    is_automatic = trainer.lightning_module.automatic_optimization
    return is_automatic and not trainer.strategy.handles_gradient_accumulation and not skips_backward


def _is_flat(batch: object) -> bool:
    """Return whether a batch is a dict of tensors on the CPU and of nothing else."""
    return type(batch) is dict and all(type(value) is Tensor and value.is_cpu for value in batch.values())

"""A batch of training, done as Lightning does it, without looking up at every batch what does not change."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pytorch_lightning.loops.fetchers import _DataFetcher, _DataLoaderIterDataFetcher
from pytorch_lightning.loops.optimization.automatic import ClosureResult
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.loops.utilities import _block_parallel_sync_behavior
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor


class TrainingStep:
    """Fetches a batch, calls the hooks and the module's `training_step`, and lets the optimizer step.

    Lightning's own loops look up whose hooks there are and what these take, wrap each call into others, and divide and
    copy the loss: a third of the time that a small net needs for its step.

    Args:
        loop: the loop over the batches of an epoch.
    """

    def __init__(self, loop: _TrainingEpochLoop) -> None:
        trainer = loop.trainer
        self.loop, self.trainer, self.module, self.strategy = loop, trainer, trainer.lightning_module, trainer.strategy
        selector: Any = trainer._data_connector._datahook_selector
        names = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        self.before, self.transfer, self.after = (getattr(selector.get_instance(name), name) for name in names)
        self.hooks = {name: self._filled(name) for name in ("on_train_batch_start", "on_train_batch_end")}
        self.takes_number = len(loop._build_kwargs({}, None, 0)) > 1  # type: ignore[arg-type]

    @staticmethod
    def suits(loop: _TrainingEpochLoop, data_fetcher: _DataFetcher) -> bool:
        """Whether nothing is asked for that only Lightning's own loops do."""
        trainer = loop.trainer
        return (
            trainer.lightning_module.automatic_optimization
            and not trainer.strategy.handles_gradient_accumulation
            and not isinstance(data_fetcher, _DataLoaderIterDataFetcher)
            and isinstance(trainer.profiler, PassThroughProfiler)
        )

    def __call__(self, data_fetcher: _DataFetcher) -> None:
        """Does the next batch.

        Raises:
            StopIteration: there is none, or a hook wants no more.
        """
        loop, progress, connector = self.loop, self.loop.batch_progress, self.trainer._logger_connector
        batch, _, _ = next(data_fetcher)
        number = progress.current.ready
        progress.is_last_batch = data_fetcher.done
        batch = self.before(self.trainer.precision_plugin.convert_input(batch), 0)
        batch = self.after(self.transfer(batch, self.strategy.root_device, 0), 0)
        progress.increment_ready()
        connector.on_batch_start(batch)
        stops = self._call("on_train_batch_start", batch, number) == -1
        if stops:
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
        self._call("on_train_batch_end", outputs, batch, number)
        if loop._results:  # of self.log
            connector.on_batch_end()
        loop._results.batch = None
        progress.increment_completed()
        if loop._results:
            connector.update_train_step_metrics()

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
            return loss

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
        self.module._current_fx_name = "training_step"
        output = self.strategy.training_step(*((batch, number) if self.takes_number else (batch,)))
        count = self.trainer.accumulate_grad_batches
        if count == 1 and isinstance(output, dict) and isinstance(output.get("loss"), Tensor):
            return {**output}
        if output is None and self.trainer.world_size > 1:
            raise RuntimeError("training_step returned None, which skips a batch: several processes cannot do that")
        result = ClosureResult.from_training_step_output(output, count)
        return {} if result.closure_loss is None else {**result.extra, "loss": result.closure_loss}

    def _call(self, hook: str, *arguments: Any) -> Any:
        """What the last of those that have this hook returns."""
        answer, self.module._current_fx_name = None, hook
        for call in self.hooks[hook]:
            answer = call(*arguments)
        self.module._current_fx_name = None
        return answer

    def _filled(self, hook: str) -> list[Callable[..., Any]]:
        """The callbacks' and the module's, which comes last; overhead.py took those that are empty."""
        callbacks: Any = self.trainer.callbacks
        filled = [call for item in callbacks if (call := getattr(item, hook))]
        own = getattr(self.module, hook)
        return [partial(call, self.trainer, self.module) for call in filled] + ([own] if own else [])

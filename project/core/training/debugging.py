"""Callbacks that find out why a training fails; configs/presets/debug.yaml uses them."""

import shlex
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from project.core.errors import RunStopped
from project.core.installation import COMMAND
from project.core.training.lightning_internals.access import log_to_loggers, should_log
from project.core.training.non_finite import NonFiniteSearch, describe_gradients


class GradientMonitor(Callback):
    """Callback that logs the norm of each parameter's gradient, before it is clipped, as `gradient/NAME`.

    Example::

        trainer: {callbacks: [{type: GradientMonitor}]}
    """

    def __init__(self) -> None:
        self.norms: dict[str, float] = {}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if should_log(trainer):
            own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
            gradients = {name: p.grad for name, p in pl_module.named_parameters() if p in own and p.grad is not None}
            self.norms |= {f"gradient/{name}": gradient.norm().item() for name, gradient in gradients.items()}

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        # Only now all optimizers have stepped. Not by `log_dict`: too many values for the line of an epoch.
        if self.norms:
            log_to_loggers(trainer, self.norms)
        self.norms = {}


class NonFiniteStop(Callback):
    """Callback that stops the run at the first loss or gradient that is infinite or NaN, before the weights change.

    The message says in which module or operation the value first occurred and which parameter it reached; the weights
    are saved in RUN/non_finite.ckpt. All tensors are checked, so a step takes several times as long.

    Args:
        run_directory: given by the engine.

    Example::

        trainer: {callbacks: [{type: NonFiniteStop}]}
    """

    def __init__(self, run_directory: str = ".") -> None:
        self.run_directory = Path(run_directory).absolute()
        self.search = NonFiniteSearch()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.search.start(pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, _: int) -> None:
        self.search.search_batch(batch)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        bad = not self.search.search_loss(loss)
        if _any_rank(trainer, bad):
            self._stop(trainer, f"the loss is {loss.item()}" if bad else "the loss of another rank is not finite")

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # 16-mixed scales the loss until gradients overflow, and skips such a step itself
        bad = self.search.search_gradients(pl_module)
        if _any_rank(trainer, bool(bad)):
            self._stop(trainer, describe_gradients(bad or ["a parameter"]))

    def teardown(self, *_: object, **__: object) -> None:
        self.search.end()

    def _stop(self, trainer: pl.Trainer, reason: str) -> None:
        saved = ""
        if trainer.checkpoint_callback is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            path = self.run_directory / "non_finite.ckpt"  # not in checkpoints/: no run is resumed from it
            trainer.save_checkpoint(path, weights_only=False)
            saved = f"; the weights before this step are in {path}"
            run, step = shlex.quote(str(self.run_directory)), trainer.global_step + 1
            saved += f"\nReplay it: {COMMAND} replay {run} --step {step}"
        origin = f"; it began in {self.search.origin}" if self.search.origin else ""
        raise RunStopped(f"step {trainer.global_step + 1}: {reason}{origin}{saved}")


def _any_rank(trainer: pl.Trainer, bad: bool) -> bool:
    """Return whether any rank found something: all must stop and save together."""
    return trainer.strategy.reduce_boolean_decision(bad, all=False)

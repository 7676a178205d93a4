"""The exponential moving average of the weights (`model.ema`)."""

from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from annotated_types import Interval
from loguru import logger
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from project.core.errors import ConfigError

Decay = Annotated[float, Interval(gt=0, lt=1)]
# Stored: the key in checkpoints, and the keys in it.
_STATE, _TRAINED, _AVERAGES = "moving_average", "trained_state_dict", "averages"


class MovingAverage(Callback):
    """Callback that averages the weights, and has the average validated and saved in place of them.

    After the first optimizer step, the average is a copy of the weights; after each later one, it is
    `decay * average + (1 - decay) * weights`. Parameters that the optimizer has are averaged, and so are buffers of
    the checkpoint with finite floating-point values: the running statistics of batch norm belong to the activations of
    the averaged weights. All other tensors are those of the training.

    The average is the only copy. While it is in use, the parameters refer to its memory, and nothing is copied. It is
    computed in float32 at least, because bfloat16 rounds small changes away.

    Args:
        decay: weight of the previous average; None keeps no average.
    """

    def __init__(self, decay: float | None) -> None:
        if decay is not None and not 0 < decay < 1:  # a module of one's own may annotate it as any float
            raise ConfigError(f"ema is {decay}; it takes a number > 0 and < 1")
        self.decay = decay
        self._module: pl.LightningModule | None = None  # None outside a training
        self._averages: dict[str, Tensor] = {}  # by name in the module; empty before the first optimizer step
        self._owners: list[tuple[nn.Module, str]] = []  # module and attribute of each averaged tensor
        self._trained: list[Tensor] = []  # memory of the weights while the average is in use

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._module = pl_module if stage == "fit" else None
        self._averages, self._trained = {}, []
        others = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
        if self.decay is not None and others:
            raise ConfigError(f"model.ema and {type(others[0]).__name__} both average the weights; remove one of them")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.decay is None:
            return
        if len(trainer.optimizers) != 1:
            name = type(pl_module).__name__
            raise ConfigError(f"model.ema needs one optimizer, but {name} has {len(trainer.optimizers)}; leave it out")
        self._update = get_ema_multi_avg_fn(self.decay)
        self._set_averages({name: value.to(pl_module.device) for name, value in self._averages.items()})
        trainer.optimizers[0].register_step_post_hook(lambda optimizer, *_: self._step(optimizer))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.use_average()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.use_trained()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.use_average()  # it is the result

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.save(checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        saved = checkpoint.get(_STATE)
        if self._module is None or saved is None:
            return
        # Lightning has loaded the average.
        pl_module.load_state_dict(saved[_TRAINED], strict=pl_module.strict_loading)
        if self.decay is not None:
            self._averages = saved[_AVERAGES]
        else:
            logger.warning("model.ema is null: the average in the checkpoint is left out")

    @property
    def averages(self) -> dict[str, Tensor]:
        """The averaged tensors by their names in the module; none before the first optimizer step."""
        return self._averages

    def use_average(self) -> None:
        """Use the average in place of the weights, if there is one."""
        if self._trained:
            return
        with torch.inference_mode(False):
            for tensor, average in zip(self._tensors(), self._averages.values(), strict=True):
                self._trained.append(tensor.data)
                tensor.data = average.to(tensor.dtype)

    def use_trained(self) -> None:
        """Use the weights again."""
        with torch.inference_mode(False):
            for tensor, trained in zip(self._tensors(), self._trained, strict=bool(self._trained)):
                tensor.data = trained
        self._trained = []

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Write the average into `state_dict` of a checkpoint, unless it is there, and what a resumed run needs."""
        if not self._averages or _STATE in checkpoint:
            return
        assert self._module is not None
        is_in_use = bool(self._trained)
        self.use_trained()
        checkpoint[_STATE] = {_TRAINED: self._module.state_dict(), _AVERAGES: dict(self._averages)}
        self.use_average()
        checkpoint["state_dict"] = self._module.state_dict()
        if not is_in_use:
            self.use_trained()

    def _step(self, optimizer: torch.optim.Optimizer) -> None:
        """Update the average after an optimizer step."""
        if not self._averages:
            self._set_averages(self._first_averages(optimizer))
            return
        averages = list(self._averages.values())
        weights = [
            tensor if tensor.dtype is average.dtype else tensor.detach().to(average.dtype)
            for tensor, average in zip(self._tensors(), averages, strict=True)
        ]
        self._update(averages, weights, 0)

    def _first_averages(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        assert self._module is not None
        optimized = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        tensors: dict[str, Tensor] = {name: p for name, p in self._module.named_parameters() if p in optimized}
        saved = self._module.state_dict().keys()
        for name, buffer in self._module.named_buffers():
            if name in saved and buffer.is_floating_point() and bool(buffer.isfinite().all()):
                tensors[name] = buffer
        return {
            name: tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32), copy=True)
            for name, tensor in tensors.items()
        }

    def _set_averages(self, averages: dict[str, Tensor]) -> None:
        assert self._module is not None
        self._averages, self._owners = averages, []
        for name in averages:
            path, _, attribute = name.rpartition(".")
            self._owners.append((self._module.get_submodule(path), attribute))

    def _tensors(self) -> list[Tensor]:
        """Return the averaged tensors of the module; some modules replace their buffers."""
        return [getattr(owner, attribute) for owner, attribute in self._owners]


class AveragedModule(pl.LightningModule):
    """Base of LightningModules with an average of their weights.

    A subclass that overrides `configure_callbacks` or `on_save_checkpoint` calls the base's.

    Args:
        ema: decay of the average; null keeps none.

    Example::

        model: {ema: 0.999}
    """

    def __init__(self, ema: Decay | None = None) -> None:
        super().__init__()
        self.average = MovingAverage(ema)

    def configure_callbacks(self) -> list[Callback]:
        return [self.average]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.average.save(checkpoint)  # callbacks are not called for a checkpoint with nothing but weights

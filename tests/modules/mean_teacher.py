"""Mean teacher: semi-supervised training with an averaged copy of the model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from project.modules.base import NamedCall, SupervisedModule
from project.registry import MODULE_REGISTRY


@MODULE_REGISTRY.register()
class MeanTeacher(SupervisedModule):
    """Mean teacher (Tarvainen and Valpola, Mean Teachers are Better Role Models, 2017); the teacher is evaluated.

    Unlabeled samples have the label -100, which cross entropy ignores.

    Args:
        decay: factor of the teacher's weights in the moving average, per step, in [0, 1).
        consistency: weight of the mean squared difference between the probabilities of model and teacher.
        kwargs: arguments of SupervisedModule.
    """

    def __init__(self, decay: float = 0.95, consistency: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.consistency = consistency
        self.teacher = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.call_teacher = NamedCall(self.teacher.module, "forward", "model.net")

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the output of the model in training mode, else that of the teacher."""
        return super().forward(batch) if self.training else dict(self.call_teacher(batch, {}))

    def loss_values(self, batch: dict[str, Tensor], output: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses, in training mode with the consistency between model and teacher."""
        values = super().loss_values(batch, output)
        if not self.training:
            return values
        with torch.no_grad():
            taught: Mapping[str, Tensor] = self.call_teacher(batch, {})
        distance = F.mse_loss(output["logits"].softmax(1), taught["logits"].softmax(1))
        return values | {"consistency": distance, "sum": values["sum"] + self.consistency * distance}

    def on_train_batch_end(self, *_: Any) -> None:
        self.teacher.update_parameters(self.net)

"""A mean teacher: a net learns from few labels, and from the average of its own past on all samples."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from project.core.module import SupervisedModule
from project.core.wiring import Wire
from project.registry import MODULE_REGISTRY


@MODULE_REGISTRY.register()
class MeanTeacher(SupervisedModule):
    """Tarvainen and Valpola, Mean Teachers are Better Role Models, 2017; the teacher is what is evaluated.

    Samples without a label have the label -100, which cross entropy leaves out.

    Args:
        decay: of the teacher's weights towards the net's, at each step, in (0, 1).
        consistency: weight of the squared distance between the probabilities of the two.
        kwargs: those of SupervisedModule.
    """

    def __init__(self, decay: float = 0.95, consistency: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.consistency = consistency
        self.teacher = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.call_teacher = Wire(self.teacher.module, "forward", "model.net")

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The net's output while it trains, else the teacher's."""
        return super().forward(batch) if self.training else dict(self.call_teacher(batch, {}))

    def loss_values(self, batch: dict[str, Tensor], output: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses, and while training how far the net is from its teacher."""
        values = super().loss_values(batch, output)
        if not self.training:
            return values
        with torch.no_grad():
            taught: Mapping[str, Tensor] = self.call_teacher(batch, {})
        distance = F.mse_loss(output["logits"].softmax(1), taught["logits"].softmax(1))
        return values | {"consistency": distance, "sum": values["sum"] + self.consistency * distance}

    def on_train_batch_end(self, *_: Any) -> None:
        self.teacher.update_parameters(self.net)

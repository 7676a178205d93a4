"""Diffusion by flow matching: noise becomes pictures in small steps."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor

from project.modules.base import BaseModule, Clip, Decay, build_optimizer
from project.registry import MODULE_REGISTRY, Model


@MODULE_REGISTRY.register()
class Flow(BaseModule):
    """Diffusion model of pictures by flow matching (Lipman et al., Flow Matching for Generative Modeling, 2023).

    At the time t, between 0 and 1, a picture is `t * picture + (1 - t) * noise`. The net learns the direction from the
    noise to the picture; `predict` follows it from noise.

    Args:
        net: model from pictures with a channel more, the time, to a tensor of their shape.
        optimizer: any class of torch.optim.
        steps: number of steps in which `predict` follows the direction; the net is called in each.
        clip: gradient clipping.
        ema: decay of an average of the weights, with which pictures are drawn.
    """

    example: ClassVar[dict[str, Any]] = {"net": {"type": "UNet", "in_channels": 2, "out_channels": 1, "depth": 1}}

    def __init__(
        self,
        net: Model,
        optimizer: OptimizerCallable,
        steps: Annotated[int, Ge(1)] = 50,
        clip: Clip | None = None,
        ema: Decay | None = None,
    ) -> None:
        super().__init__(clip, ema)
        self.net, self.optimizer_to_build, self.steps = net, optimizer, steps

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.optimizer_to_build, self.parameters(), self, self.clip.is_active)

    def forward(self, picture: Tensor, time: Tensor) -> Tensor:
        """Return the direction at pictures `(B, C, H, W)` and times `(B, 1, 1, 1)`."""
        inputs = torch.cat([picture, time.expand_as(picture[:, :1])], dim=1)
        direction: Tensor = self.net(inputs).view_as(picture)  # a loss of other shapes would broadcast
        return direction

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        picture, noise = batch["image"], torch.randn_like(batch["image"])
        time = torch.rand_like(picture[:, :1, :1, :1])
        direction = self(time * picture + (1 - time) * noise, time)
        loss = (direction - (picture - noise)).square().mean()
        if self.should_log:
            self.log_immediately({"train/loss": loss.detach()})
        return {"loss": loss}

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Draw a picture for each sample of a batch, whose pictures give only the shape."""
        picture = torch.randn_like(batch["image"])
        for step in range(self.steps):
            time = torch.full_like(picture[:, :1, :1, :1], step / self.steps)
            picture = picture + self(picture, time) / self.steps
        return {"prediction": picture.clamp(0, 1)}

"""GAN with two models, two optimizers, manual optimization and gradient clipping, derived from BaseModule."""

from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor
from torch.nn import functional as F

from project.modules.base import BaseModule, Clip, build_optimizer
from project.registry import MODULE_REGISTRY, Model


@MODULE_REGISTRY.register()
class GAN(BaseModule):
    """Generative adversarial network with the non-saturating loss (Goodfellow et al., 2014).

    On several devices, it needs `trainer.strategy: ddp_find_unused_parameters_true`: each loss is of one model only.

    Args:
        generator: model from noise (B, latent) to a tensor with the values of a picture in [0, 1].
        discriminator: model from pictures in [0, 1] to logits (B, 1). Both may return a dict of one tensor.
        generator_optimizer: optimizer of the generator.
        discriminator_optimizer: optimizer of the discriminator.
        latent: number of noise values per sample.
        clip: gradient clipping of both models.
    """

    example: ClassVar[dict[str, Any]] = {
        "generator": {"type": "torch.nn.Linear", "in_features": 16, "out_features": 64},
        "discriminator": {"type": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 8},
        "generator_optimizer": {"type": "Adam", "lr": 0.001},
        "discriminator_optimizer": {"type": "Adam", "lr": 0.001},
    }

    def __init__(
        self,
        generator: Model,
        discriminator: Model,
        generator_optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable,
        latent: Annotated[int, Ge(1)] = 16,
        clip: Clip | None = None,
    ) -> None:
        super().__init__(clip)
        self.automatic_optimization = False
        self.generator, self.discriminator, self.latent = generator, discriminator, latent
        self.optimizers_to_build = (generator_optimizer, discriminator_optimizer)

    def configure_optimizers(self) -> list[Any]:
        nets = (self.generator, self.discriminator)
        pairs = zip(self.optimizers_to_build, nets, strict=True)
        return [build_optimizer(build, net.parameters(), self, self.clip.is_active) for build, net in pairs]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Any]:
        for_generator, for_discriminator = self.optimizers()  # type: ignore[attr-defined]
        real = batch["image"]
        fake = self.generate(real)
        real_score, fake_score = self.score(real), self.score(fake.detach())
        discriminator_loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
        self.step(for_discriminator, discriminator_loss)
        generator_loss = F.softplus(-self.score(fake)).mean()
        self.step(for_generator, generator_loss)
        if self.should_log:
            self.log_immediately(
                {"train/generator": generator_loss.detach(), "train/discriminator": discriminator_loss.detach()}
            )
        return {"output": {"fake": fake}}

    def generate(self, like: Tensor) -> Tensor:
        """Return pictures made of noise, of the shape of others."""
        noise = torch.randn(len(like), self.latent, device=self.device)
        return _tensor_of(self.generator(noise)).view_as(like)

    def score(self, pictures: Tensor) -> Tensor:
        """Return the logits (B, 1) of being real."""
        return _tensor_of(self.discriminator(pictures))

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Generate a picture for each sample of a batch, whose pictures give only the shape."""
        return {"prediction": self.generate(batch["image"]).clamp(0, 1)}

    def step(self, optimizer: Any, loss: Tensor) -> None:
        """Do one step of an optimizer, with clipped gradients."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.configure_gradient_clipping(optimizer)
        optimizer.step()


def _tensor_of(output: Tensor | dict[str, Tensor]) -> Tensor:
    """Return the tensor that a net returns, or the only one in its dict."""
    return next(iter(output.values())) if isinstance(output, dict) else output

"""GAN with two models, two optimizers, manual optimization and gradient clipping, derived from BaseModule."""

from typing import Any

import torch
from pytorch_lightning.cli import OptimizerCallable
from torch import Tensor
from torch.nn import functional as F

from project.modules.base import BaseModule, Clip, build_optimizer
from project.registry import MODULE_REGISTRY, Model


@MODULE_REGISTRY.register()
class GAN(BaseModule):
    """Generative adversarial network with the non-saturating loss (Goodfellow et al., 2014).

    Args:
        generator: model from noise (B, latent) to pictures.
        discriminator: model from pictures to logits (B, 1).
        generator_optimizer: optimizer of the generator.
        discriminator_optimizer: optimizer of the discriminator.
        latent: number of noise values per sample.
        clip: gradient clipping of both models.
    """

    def __init__(
        self,
        generator: Model,
        discriminator: Model,
        generator_optimizer: OptimizerCallable,
        discriminator_optimizer: OptimizerCallable,
        latent: int = 16,
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
        fake = self.generator(torch.randn(len(real), self.latent, device=self.device)).view_as(real)
        real_score, fake_score = self.discriminator(real), self.discriminator(fake.detach())
        discriminator_loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
        self.step(for_discriminator, discriminator_loss)
        generator_loss = F.softplus(-self.discriminator(fake)).mean()
        self.step(for_generator, generator_loss)
        if self.should_log:
            self.log_immediately(
                {"train/generator": generator_loss.detach(), "train/discriminator": discriminator_loss.detach()}
            )
        return {"output": {"fake": fake}}

    def step(self, optimizer: Any, loss: Tensor) -> None:
        """Do one step of an optimizer, with clipped gradients."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.configure_gradient_clipping(optimizer)
        optimizer.step()

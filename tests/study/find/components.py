"""Components for the tests of finders; yaml names them by dotted path."""

import os
import signal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from tests.components import MLP
from tests.core.components import LogsVectors


class Hungry(MLP):
    """Net that needs 8 MB for each sample of a batch, until its backward pass."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        output = super().forward(image)
        scale = torch.ones(len(image), 2_000_000, requires_grad=True)
        return output | {"logits": output["logits"] * scale.exp().mean() / torch.e}


class KilledAbove(MLP):
    """Net whose process is killed if a batch has more than 6 samples, as Linux does where memory is short."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if len(image) > 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(image)


class TwoOptimizers(LogsVectors):
    """Module that steps two optimizers itself."""

    def __init__(self) -> None:
        super().__init__(size=1)
        self.automatic_optimization = False

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:  # type: ignore[override]
        return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]


class OwnModule(pl.LightningModule):
    """Module that does not derive from the engine's; its schedule sets the rate when it is built."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LambdaLR]]:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.0)]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layer(batch["image"].flatten(1)), batch["label"])

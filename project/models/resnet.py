"""Residual net."""

from torch import Tensor, nn

from project.models.base import Model
from project.models.components.classify import class_and_probability
from project.models.components.residual import BasicBlock, conv_norm
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class ResNet(Model):
    """A residual net with the stem for small pictures (He et al., Deep Residual Learning, 2016, section 4.2).

    Args:
        in_channels: channels of the picture.
        num_classes: number of classes.
        width: channels of the first stage; each later stage halves the picture and doubles the channels.
        blocks: residual blocks of each stage.
    """

    def __init__(self, in_channels: int, num_classes: int, width: int = 16, blocks: list[int] | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(in_channels, width, 3), nn.ReLU(inplace=True))
        stages, channels = [], width
        for i, depth in enumerate(blocks or [1, 1, 1]):
            stage, out_channels = [], width * 2**i
            for j in range(depth):
                stage.append(BasicBlock(channels, out_channels, stride=2 if i and not j else 1))
                channels = out_channels
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """`image` (B, in_channels, H, W) to `logits` (B, num_classes)."""
        return {"logits": self.head(self.pool(self.stages(self.stem(image))))}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """The class `label` (B,) and its `probability` (B,)."""
        return class_and_probability(logits)

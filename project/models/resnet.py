"""Residual networks."""

from typing import Annotated, Literal

from annotated_types import Ge, Interval
from torch import Tensor, nn

from project.models.base import Classifier
from project.models.components.drop_path import drop_rates
from project.models.components.residual import BasicBlock, Bottleneck, conv_norm
from project.registry import MODEL_REGISTRY

_BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


@MODEL_REGISTRY.register()
class ResNet(Classifier):
    """Residual network for classification (He et al., Deep Residual Learning, 2016).

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        width: number of channels in the blocks of stage 1; each later stage doubles it and halves height and width.
        blocks: number of blocks in each stage; null means [1, 1, 1].
        block: basic has two 3x3 convolutions; bottleneck has one 3x3 between two 1x1 convolutions.
        stem: small keeps height and width; large divides them by 4, for pictures of 100 pixels or more.
        drop_path: probability that a sample skips the last block in training, in [0, 1); it grows linearly from block
            to block (stochastic depth; Huang et al., 2016).
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        width: Annotated[int, Ge(1)] = 16,
        blocks: list[Annotated[int, Ge(1)]] | None = None,
        block: Literal["basic", "bottleneck"] = "basic",
        stem: Literal["small", "large"] = "small",
        drop_path: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        first = conv_norm(in_channels, width, 3) if stem == "small" else conv_norm(in_channels, width, 7, stride=2)
        shrink = [nn.MaxPool2d(3, stride=2, padding=1)] if stem == "large" else []
        self.stem = nn.Sequential(first, nn.ReLU(inplace=True), *shrink)
        blocks = blocks or [1, 1, 1]
        stages, channels, rates = [], width, iter(drop_rates(drop_path, sum(blocks)))
        for i, depth in enumerate(blocks):
            stage = []
            for j in range(depth):
                stride = 2 if i and not j else 1
                stage.append(_BLOCKS[block](channels, width * 2**i, stride, drop_path=next(rates)))
                channels = width * 2**i * _BLOCKS[block].expansion
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, num_classes)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to `logits` (B, num_classes)."""
        return {"logits": self.head(self.pool(self.stages(self.stem(image))))}


@MODEL_REGISTRY.register()
class ResNet18(ResNet):
    """ResNet-18 as published, for pictures of about 224 x 224.

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        drop_path: probability that a sample skips the last block in training, as in ResNet.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        drop_path: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(in_channels, num_classes, 64, [2, 2, 2, 2], "basic", "large", drop_path)


@MODEL_REGISTRY.register()
class ResNet34(ResNet):
    """ResNet-34 as published, for pictures of about 224 x 224.

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        drop_path: probability that a sample skips the last block in training, as in ResNet.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        drop_path: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(in_channels, num_classes, 64, [3, 4, 6, 3], "basic", "large", drop_path)


@MODEL_REGISTRY.register()
class ResNet50(ResNet):
    """ResNet-50 for pictures of about 224 x 224, with the stride in the 3x3 convolutions, as in torchvision.

    Args:
        in_channels: number of channels of the pictures.
        num_classes: number of classes.
        drop_path: probability that a sample skips the last block in training, as in ResNet.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        num_classes: Annotated[int, Ge(1)],
        drop_path: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(in_channels, num_classes, 64, [3, 4, 6, 3], "bottleneck", "large", drop_path)

"""U-shaped net."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from project.models.base import Model
from project.models.components.residual import BasicBlock
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class UNet(Model):
    """From a picture to one of the same size (Ronneberger et al., U-Net, 2015), with residual blocks.

    It returns a tensor: `output` in the yaml names it.

    Args:
        in_channels: channels of the picture.
        out_channels: channels of the result.
        width: channels at full size; each level below halves the picture and doubles them.
        depth: levels below the full size.
        residual: whether the picture is added to the result, which must have as many channels; good for restoration.
        batch_norm: whether convolutions are normalized; restoration does better without.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 32,
        depth: int = 3,
        residual: bool = False,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError(f"residual: {in_channels} channels cannot be added to {out_channels}")
        widths = [width * 2**level for level in range(depth + 1)]
        self.residual, self.multiple = residual, 2**depth
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.down = nn.ModuleList(BasicBlock(widths[i], widths[i + 1], 2, batch_norm) for i in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2) for i in range(depth))
        self.merge = nn.ModuleList(BasicBlock(2 * widths[i], widths[i], 1, batch_norm) for i in range(depth))
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """`image` (B, in_channels, H, W) to (B, out_channels, H, W), whatever the size."""
        height, width = image.shape[-2:]
        x = F.pad(image, [0, -width % self.multiple, 0, -height % self.multiple], mode="replicate")
        x = self.first(x)
        passed = []
        for down in self.down:
            passed.append(x)
            x = down(x)
        for up, merge, beside in zip(reversed(self.up), reversed(self.merge), reversed(passed), strict=True):
            x = merge(torch.cat([up(x), beside], dim=1))
        result: Tensor = self.last(x)[..., :height, :width]
        return image + result if self.residual else result

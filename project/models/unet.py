"""U-Net."""

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

from project.models.base import Model
from project.models.components.residual import BasicBlock
from project.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class UNet(Model):
    """U-Net with residual blocks: maps a picture to one of the same size (Ronneberger et al., U-Net, 2015).

    It returns a single tensor, which `output` in the config entry names.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        width: number of channels at full resolution; each level below doubles it and halves height and width.
        depth: number of levels below full resolution.
        residual: add the input to the output, which must have as many channels; useful for restoration.
        batch_norm: whether batch normalization follows each convolution; restoration is better without.
    """

    def __init__(
        self,
        in_channels: Annotated[int, Ge(1)],
        out_channels: Annotated[int, Ge(1)],
        width: Annotated[int, Ge(1)] = 32,
        depth: Annotated[int, Ge(0)] = 3,
        residual: bool = False,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        if residual and in_channels != out_channels:
            raise ValueError(f"residual needs out_channels ({out_channels}) to equal in_channels ({in_channels})")
        widths = [width * 2**level for level in range(depth + 1)]
        self.residual, self.multiple = residual, 2**depth
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.down = nn.ModuleList(BasicBlock(widths[i], widths[i + 1], 2, batch_norm) for i in range(depth))
        self.up = nn.ModuleList(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, stride=2) for i in range(depth))
        self.merge = nn.ModuleList(BasicBlock(2 * widths[i], widths[i], 1, batch_norm) for i in range(depth))
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Map `image` (B, in_channels, H, W) to (B, out_channels, H, W), for any H and W."""
        height, width = image.shape[-2:]
        x = F.pad(image, [0, -width % self.multiple, 0, -height % self.multiple], mode="replicate")
        x = self.first(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up, merge, skip in zip(reversed(self.up), reversed(self.merge), reversed(skips), strict=True):
            x = merge(torch.cat([up(x), skip], dim=1))
        x = self.last(x)
        # Not x[..., :height, :width]: torch.export would fix whether such a view is contiguous, and thereby the sizes.
        result = F.pad(x, [0, width - x.shape[-1], 0, height - x.shape[-2]])
        return image + result if self.residual else result

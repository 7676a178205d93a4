"""Residual blocks (He et al., Deep Residual Learning, 2016)."""

from typing import ClassVar

from torch import Tensor, nn

from project.models.components.drop_path import DropPath


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, batch_norm: bool = True
) -> nn.Sequential:
    """Return a convolution that divides height and width by `stride`, with batch normalization or else a bias."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=not batch_norm)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity())


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions (figure 5, left).

    Args:
        in_channels: number of input channels.
        width: number of channels inside the block; the output has `width * expansion`.
        stride: factor by which height and width shrink.
        batch_norm: whether batch normalization follows each convolution.
        drop_path: probability that a sample loses the convolutions in training (stochastic depth).
    """

    expansion: ClassVar[int] = 1
    kernel_sizes: ClassVar[tuple[int, ...]] = (3, 3)
    strided: ClassVar[int] = 0  # index of the convolution that has the stride

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, batch_norm: bool = True, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        out_channels, last = width * self.expansion, len(self.kernel_sizes) - 1
        layers: list[nn.Module] = []
        for i, kernel_size in enumerate(self.kernel_sizes):
            layers += [
                conv_norm(
                    width if i else in_channels,
                    out_channels if i == last else width,
                    kernel_size,
                    stride if i == self.strided else 1,
                    batch_norm,
                ),
                nn.ReLU(inplace=True),
            ]
        self.body = nn.Sequential(*layers[:-1])
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_norm(in_channels, out_channels, 1, stride, batch_norm)
        self.activation, self.drop_path = layers[-1], DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, width * expansion, H / stride, W / stride)`."""
        activated: Tensor = self.activation(self.drop_path(self.body(x)) + self.shortcut(x))
        return activated


class Bottleneck(BasicBlock):
    """Residual block of a 3x3 convolution, which has the stride, between two 1x1 convolutions (figure 5, right)."""

    expansion = 4
    kernel_sizes = (1, 3, 1)
    strided = 1

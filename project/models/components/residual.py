"""Residual blocks (He et al., Deep Residual Learning, 2016)."""

from typing import ClassVar

from torch import Tensor, nn


def conv_norm(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, batch_norm: bool = True
) -> nn.Sequential:
    """A convolution that keeps the picture's size (divided by `stride`), and batch normalization or else a bias."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=not batch_norm)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels) if batch_norm else nn.Identity())


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (figure 5, left).

    Args:
        in_channels: channels of the picture.
        width: channels inside; `width * expansion` come out.
        stride: what height and width are divided by.
        batch_norm: whether each convolution is normalized.
    """

    expansion: ClassVar[int] = 1
    kernel_sizes: ClassVar[tuple[int, ...]] = (3, 3)
    strided: ClassVar[int] = 0  # which convolution has the stride

    def __init__(self, in_channels: int, width: int, stride: int = 1, batch_norm: bool = True) -> None:
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
        self.activation = layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        """`(B, in_channels, H, W)` to `(B, width * expansion, H / stride, W / stride)`."""
        activated: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return activated


class Bottleneck(BasicBlock):
    """A 3x3 convolution, which has the stride, between two 1x1, around a shortcut (figure 5, right)."""

    expansion = 4
    kernel_sizes = (1, 3, 1)
    strided = 1

import pytest
import torch
from torch.nn import functional as F

from project.models.components.residual import BasicBlock, Bottleneck, conv_norm

BLOCKS = [BasicBlock, Bottleneck]


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_conv_norm_has_scale_and_shift_or_else_a_bias(kernel_size: int, batch_norm: bool) -> None:
    layers = conv_norm(2, 5, kernel_size, batch_norm=batch_norm)
    count = sum(parameter.numel() for parameter in layers.parameters())
    assert count == 2 * 5 * kernel_size**2 + 5 * (2 if batch_norm else 1)
    assert layers(torch.rand(2, 2, 8, 6)).shape == (2, 5, 8, 6)
    assert conv_norm(2, 5, kernel_size, 2, batch_norm)(torch.rand(2, 2, 8, 6)).shape == (2, 5, 4, 3)


def test_batch_norm_comes_after_the_convolution() -> None:
    x = conv_norm(3, 4, 3)(torch.rand(8, 3, 6, 6))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var((0, 2, 3)), torch.ones(4), atol=0.01, rtol=0)


@pytest.mark.parametrize(("in_channels", "stride"), [(4, 1), (3, 1), (4, 2)])
def test_basic_block_is_as_published(in_channels: int, stride: int) -> None:
    block, x = BasicBlock(in_channels, 4, stride, batch_norm=False), torch.randn(2, in_channels, 6, 6)
    w1, b1, w2, b2, *shortcut = block.parameters()
    inner = F.conv2d(F.conv2d(x, w1, b1, stride, 1).relu(), w2, b2, 1, 1)
    around = F.conv2d(x, shortcut[0], shortcut[1], stride) if shortcut else x
    assert bool(shortcut) == (in_channels != 4 or stride != 1)
    torch.testing.assert_close(block(x), (inner + around).relu())


@pytest.mark.parametrize(("in_channels", "stride"), [(16, 1), (4, 1), (16, 2)])
def test_bottleneck_is_as_published_with_the_stride_in_the_3x3(in_channels: int, stride: int) -> None:
    block, x = Bottleneck(in_channels, 4, stride, batch_norm=False), torch.randn(2, in_channels, 6, 6)
    w1, b1, w2, b2, w3, b3, *shortcut = block.parameters()
    inner = F.conv2d(F.conv2d(F.conv2d(x, w1, b1).relu(), w2, b2, stride, 1).relu(), w3, b3)
    around = F.conv2d(x, shortcut[0], shortcut[1], stride) if shortcut else x
    assert bool(shortcut) == (in_channels != 16 or stride != 1)
    torch.testing.assert_close(block(x), (inner + around).relu())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_with_zero_convolutions_is_its_shortcut(block: type[BasicBlock]) -> None:
    net = block(4 * block.expansion, 4)
    torch.nn.init.zeros_(net.body[-1][1].weight)  # type: ignore[index]
    x = torch.rand(2, 4 * block.expansion, 5, 5)
    assert torch.equal(net(x), x)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_does_not_change_its_input(block: type[BasicBlock]) -> None:
    x = torch.randn(2, 4 * block.expansion, 5, 5)
    before = x.clone()
    block(4 * block.expansion, 4)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("block", BLOCKS)
def test_without_batch_norm_samples_do_not_mix_in_training(block: type[BasicBlock]) -> None:
    net, x = block(3, 4, 2, batch_norm=False).train(), torch.randn(4, 3, 6, 6)
    torch.testing.assert_close(net(x)[:1], net(x[:1]))

from typing import Literal

import pytest
import torch
from torch import nn

from project.models.resnet import ResNet, ResNet18, ResNet34, ResNet50

PUBLISHED = [(ResNet18, 18, 11_689_512), (ResNet34, 34, 21_797_672), (ResNet50, 50, 25_557_032)]


@pytest.mark.parametrize(("cls", "depth", "size"), PUBLISHED)
def test_layers_and_parameters_are_as_published(cls: type[ResNet18], depth: int, size: int) -> None:
    with torch.device("meta"):
        net = cls(3, 1000)
        assert net.stages(net.stem(torch.empty(2, 3, 224, 224))).shape[2:] == (7, 7)
    assert sum(parameter.numel() for parameter in net.parameters()) == size
    weighted = [name for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert sum("shortcut" not in name for name in weighted) == depth


@pytest.mark.parametrize(("block", "expansion"), [("basic", 1), ("bottleneck", 4)])
@pytest.mark.parametrize(("stem", "shrink"), [("small", 1), ("large", 4)])
def test_sizes_of_blocks_and_stems(
    block: Literal["basic", "bottleneck"], expansion: int, stem: Literal["small", "large"], shrink: int
) -> None:
    net = ResNet(3, 10, 4, [1, 2], block, stem)
    x = net.stem(torch.rand(2, 3, 32, 48))
    assert x.shape == (2, 4, 32 // shrink, 48 // shrink)
    x = net.stages[0](x)
    assert x.shape == (2, 4 * expansion, 32 // shrink, 48 // shrink)
    x = net.stages[1](x)
    assert x.shape == (2, 8 * expansion, 16 // shrink, 24 // shrink)
    assert net.head(net.pool(x)).shape == (2, 10)


def test_default_is_three_stages_of_one_block() -> None:
    assert [len(stage) for stage in ResNet(1, 10).stages] == [1, 1, 1]  # type: ignore[arg-type]


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_every_pixel_has_a_gradient(block: Literal["basic", "bottleneck"]) -> None:
    net, image = ResNet(1, 2, 8, [1, 1], block).eval(), torch.rand(1, 1, 8, 8, requires_grad=True)
    net(image)["logits"].square().sum().backward()
    assert image.grad is not None
    assert image.grad.all()

"""Stochastic depth drops whole branches of samples, keeps the expected value, and acts only in training."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from project.models.components.drop_path import DropPath, drop_rates
from project.models.resnet import ResNet
from project.models.vit import ViT

NETS: dict[str, Callable[[float], nn.Module]] = {
    "ResNet": lambda drop_path: ResNet(1, 3, 4, [1, 2], drop_path=drop_path),
    "ResNet of bottlenecks": lambda drop_path: ResNet(1, 3, 4, [1, 2], "bottleneck", drop_path=drop_path),
    "ViT": lambda drop_path: ViT(1, 3, patch=4, width=8, depth=3, heads=2, drop_path=drop_path),
}
every_net = pytest.mark.parametrize("build", list(NETS.values()), ids=list(NETS))


@pytest.mark.parametrize("shape", [(), (3,), (2, 4, 4)])
def test_branches_of_samples_are_dropped_or_scaled(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = DropPath(0.2)(torch.ones(4000, *shape)).view(4000, -1)
    assert values.unique().tolist() == [0, 1.25]
    assert (values == values[:, :1]).all()
    assert values.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    assert DropPath(0.5)(torch.rand(3, 2, dtype=dtype)).dtype is dtype


def test_probability_grows_linearly_to_that_of_the_last_block() -> None:
    assert drop_rates(0.3, 3) == pytest.approx([0.1, 0.2, 0.3])
    nets = [ResNet(1, 3, 4, [1, 2], drop_path=0.3), ViT(1, 3, patch=4, width=8, depth=3, heads=2, drop_path=0.3)]
    found = [[layer.p for layer in net.modules() if isinstance(layer, DropPath)] for net in nets]
    assert found[0] == pytest.approx([0.1, 0.2, 0.3])
    assert found[1] == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.3, 0.3])  # attention and perceptron of each block


@every_net
def test_net_is_the_same_without_it_and_in_evaluation(build: Callable[[float], nn.Module]) -> None:
    """Its checkpoints, its bits, and what its training draws."""
    plain, dropped, image = build(0.0), build(0.5), torch.rand(8, 1, 8, 8)
    dropped.load_state_dict(plain.state_dict())
    before = torch.random.get_rng_state()
    logits = plain(image)["logits"]
    assert torch.equal(torch.random.get_rng_state(), before)
    dropped.load_state_dict(plain.state_dict())  # also the statistics of batch norm
    torch.manual_seed(0)
    one, two = dropped(image)["logits"], dropped(image)["logits"]
    assert not torch.equal(one, logits)
    assert not torch.equal(one, two)
    dropped.load_state_dict(plain.state_dict())
    assert torch.equal(dropped.eval()(image)["logits"], plain.eval()(image)["logits"])


def test_dropped_blocks_are_their_shortcuts() -> None:
    """With a probability near 1, no sample passes through a residual branch."""
    net = ViT(1, 3, patch=4, width=8, depth=1, heads=2, drop_path=1 - 1e-9)
    tokens = torch.rand(4, 5, 8)
    assert torch.equal(net.blocks(tokens), tokens)
    block = ResNet(1, 3, 4, [1], drop_path=1 - 1e-9).stages[0][0]  # type: ignore[index]
    features = torch.rand(4, 4, 6, 6)
    assert torch.equal(block(features), features)

import pytest
import torch
from torch import Tensor

from project.models import vit
from project.models.vit import ViT


def test_the_defaults_are_vit_s_16() -> None:
    with torch.device("meta"):
        net = ViT(3, 1000)
        logits = net(torch.empty(2, 3, 224, 224))["logits"]
    assert logits.shape == (2, 1000)
    published = 22_050_664  # has a class token, and learned positions of it and of 14 x 14 patches
    assert sum(parameter.numel() for parameter in net.parameters()) == published - (14 * 14 + 1 + 1) * 384


def test_one_token_per_patch() -> None:
    net, seen = ViT(3, 10, patch=4, width=8, depth=1, heads=2), []
    net.blocks.register_forward_hook(lambda module, given, output: seen.append(output.shape))
    assert net(torch.rand(2, 3, 8, 12))["logits"].shape == (2, 10)
    assert seen == [(2, 6, 8)]


def test_only_position_embeddings_distinguish_the_order_of_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    net = ViT(1, 10, patch=4, width=8, depth=2, heads=2).eval()
    image = torch.rand(2, 1, 3, 5).repeat_interleave(4, 2).repeat_interleave(4, 3)
    turned = image.flip(2, 3)  # the same patches in another order
    assert not torch.allclose(net(image)["logits"], net(turned)["logits"], atol=1e-4)

    def nowhere(height: int, width: int, channels: int, device: torch.device) -> Tensor:
        return torch.zeros(height * width, channels, device=device)

    monkeypatch.setattr(vit, "sincos_positions", nowhere)
    torch.testing.assert_close(net(image)["logits"], net(turned)["logits"])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_dropout_acts_only_in_training(dropout: float) -> None:
    net, image = ViT(1, 10, patch=4, width=8, depth=1, heads=2, dropout=dropout), torch.rand(2, 1, 8, 8)
    assert torch.equal(net(image)["logits"], net(image)["logits"]) == (dropout == 0)
    net.eval()
    assert torch.equal(net(image)["logits"], net(image)["logits"])


def test_width_must_be_a_multiple_of_four() -> None:
    with pytest.raises(ValueError, match="width is 6"):
        ViT(1, 10, patch=4, width=6, heads=2)


def test_picture_size_must_be_a_multiple_of_the_patch() -> None:
    with pytest.raises(ValueError, match=r"picture size \(8, 10\) is not a multiple of patch \(4\)"):
        ViT(1, 10, patch=4, width=8, depth=1, heads=2)(torch.rand(1, 1, 8, 10))

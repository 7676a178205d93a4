import pytest
import torch
from torch.export import Dim

from project.models.unet import UNet


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 16), (7, 13)])
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_every_size_is_kept(height: int, width: int, depth: int) -> None:
    net = UNet(3, 2, width=4, depth=depth).eval()
    assert net(torch.rand(2, 3, height, width)).shape == (2, 2, height, width)


def test_odd_sizes_are_padded_with_the_last_row_and_column() -> None:
    net, image = UNet(1, 2, width=4, depth=2).eval(), torch.rand(2, 1, 5, 6)
    rows, columns = [0, 1, 2, 3, 4, 4, 4, 4], [0, 1, 2, 3, 4, 5, 5, 5]
    torch.testing.assert_close(net(image), net(image[:, :, rows][..., columns])[..., :5, :6])


@pytest.mark.slow
def test_exported_net_takes_every_size() -> None:
    """Height and width are free, also where one of them needs no padding, or both do."""
    net = UNet(1, 1, width=2, depth=1, residual=True).eval()
    free = ({0: Dim("batch", min=1), 2: Dim.AUTO, 3: Dim.AUTO},)
    exported = torch.export.export(net, (torch.rand(2, 1, 8, 8),), dynamic_shapes=free).module()
    for height, width in ((8, 8), (7, 9), (9, 8), (8, 5)):
        image = torch.rand(3, 1, height, width)
        torch.testing.assert_close(exported(image), net(image))


def test_levels_double_the_channels() -> None:
    down = (4 * 8 * 9 + 8) + (8 * 8 * 9 + 8) + (4 * 8 + 8)
    up = 8 * 4 * 4 + 4
    merge = (8 * 4 * 9 + 4) + (4 * 4 * 9 + 4) + (8 * 4 + 4)
    net = UNet(3, 2, width=4, depth=1, batch_norm=False)
    expected = (3 * 4 * 9 + 4) + down + up + merge + (4 * 2 * 9 + 2)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected


def test_levels_widen_the_receptive_field_and_skips_keep_details() -> None:
    net, image = UNet(1, 1, width=8, depth=3, batch_norm=False), torch.rand(1, 1, 64, 64, requires_grad=True)
    (seen,) = torch.autograd.grad(net(image)[0, 0, 32, 32], image)
    rows = seen[0, 0].abs().sum(1).nonzero()
    assert rows.max() - rows.min() >= 40
    for up in net.up:
        torch.nn.init.zeros_(up.weight)  # type: ignore[arg-type]
    (seen,) = torch.autograd.grad(net(image)[0, 0, 32, 32], image)
    rows, columns = seen[0, 0].nonzero(as_tuple=True)
    assert 28 <= min(rows.min(), columns.min()) <= max(rows.max(), columns.max()) <= 36  # four 3x3 convolutions


def test_a_residual_net_with_zero_last_layer_is_the_identity() -> None:
    image = torch.rand(2, 3, 9, 7)
    for residual, expected in ((True, image), (False, torch.zeros(2, 3, 9, 7))):
        net = UNet(3, 3, width=4, depth=1, residual=residual)
        torch.nn.init.zeros_(net.last.weight)
        torch.nn.init.zeros_(net.last.bias)  # type: ignore[arg-type]
        assert torch.equal(net(image), expected)


def test_a_residual_net_needs_equal_channels() -> None:
    with pytest.raises(ValueError, match=r"out_channels \(3\) to equal in_channels \(1\)"):
        UNet(1, 3, residual=True)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_only_batch_norm_mixes_samples_in_training(batch_norm: bool) -> None:
    net, image = UNet(1, 1, width=4, depth=1, batch_norm=batch_norm), torch.rand(4, 1, 8, 8)
    assert torch.allclose(net(image)[:1], net(image[:1]), atol=1e-6) != batch_norm

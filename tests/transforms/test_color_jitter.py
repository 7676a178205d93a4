import pytest
import torch
from torch import Tensor

from project.transforms.color_jitter import ColorJitter

GREY = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def grey(pictures: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", pictures, GREY)[:, None]


def unsaturated() -> Tensor:
    """Return pictures that factors from 0.5 to 1.5 do not saturate."""
    return 0.4 + 0.2 * torch.rand(500, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def check_factors(after: Tensor, before: Tensor) -> None:
    """Check that each picture has one factor, and that factors are uniform in [0.5, 1.5]."""
    factors = ((after * before).sum((1, 2, 3)) / before.square().sum((1, 2, 3))).view(-1, 1, 1, 1)
    torch.testing.assert_close(after, factors * before, atol=1e-5, rtol=0)
    assert 0.5 - 1e-4 <= factors.min() < 0.51
    assert 1.49 < factors.max() <= 1.5 + 1e-4
    assert factors.median().item() == pytest.approx(1, abs=0.1)


def test_brightness_multiplies_the_picture() -> None:
    torch.manual_seed(0)
    image = unsaturated()
    check_factors(ColorJitter(0.5, 0, 0)({"image": image})["image"], image)


def test_contrast_scales_the_difference_from_the_mean_grey() -> None:
    torch.manual_seed(0)
    image = unsaturated()
    mean = grey(image).mean((2, 3), keepdim=True)
    check_factors(ColorJitter(0, 0.5, 0)({"image": image})["image"] - mean, image - mean)


def test_saturation_scales_the_difference_from_the_grey_of_each_pixel() -> None:
    torch.manual_seed(0)
    image = unsaturated()
    check_factors(ColorJitter(0, 0, 0.5)({"image": image})["image"] - grey(image), image - grey(image))


def test_factors_are_drawn_independently() -> None:
    torch.manual_seed(0)
    factors = ColorJitter(0.1, 0.2, 0.3).draw(1000, 4, 4)
    assert (factors - 1).abs().amax(0).tolist() == pytest.approx([0.1, 0.2, 0.3], rel=0.02)
    assert factors.T.corrcoef().sub(torch.eye(3)).abs().max() < 0.1


def test_factors_are_applied_in_order() -> None:
    image = torch.tensor([[0.5, 0.1], [0.5, 0.1], [0.5, 0.3]]).view(1, 3, 1, 2)
    brightness, contrast, saturation = 1.2, 0.5, 0.0
    (result,) = ColorJitter().change(image, torch.tensor([[brightness, contrast, saturation]]))
    greys = [0.5 * brightness, (0.1 + 0.2 * 0.114) * brightness]
    mean = sum(greys) / 2
    expected = torch.tensor([mean + contrast * (value - mean) for value in greys])
    torch.testing.assert_close(result, expected.expand(3, 1, 2))


def test_one_channel_has_no_saturation() -> None:
    image = unsaturated()[:, :1]
    torch.testing.assert_close(ColorJitter(0, 0, 1)({"image": image})["image"], image)
    torch.manual_seed(0)
    check_factors(ColorJitter(0.5, 0, 1)({"image": image})["image"], image)


def test_the_result_is_clamped() -> None:
    torch.manual_seed(0)
    image = torch.rand(100, 3, 8, 8)
    result = ColorJitter(1, 1, 1)({"image": image})["image"]
    assert (result.min().item(), result.max().item()) == (0, 1)


def test_ranges_of_0_change_nothing() -> None:
    image = torch.rand(5, 3, 4, 4)
    torch.testing.assert_close(ColorJitter(0, 0, 0)({"image": image})["image"], image)

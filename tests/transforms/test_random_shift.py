import pytest
import torch

from project.registry import ConfigError
from project.transforms.random_shift import RandomShift


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    padded = torch.nn.functional.pad(image, (2, 2, 2, 2))
    height, width = image.shape[-2:]
    return padded[..., 2 - down : 2 - down + height, 2 - right : 2 - right + width]


def test_every_result_is_one_of_all_shifts() -> None:
    torch.manual_seed(0)
    image = torch.rand(500, 2, 4, 5)
    result = RandomShift(2)({"image": image})["image"]
    found = []
    for before, after in zip(image, result, strict=True):
        found += [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(shifted(before, down, right), after)
        ]
    assert len(found) == 500
    assert len(set(found)) == 25  # all shifts occur


@pytest.mark.parametrize("shape", [(1, 8, 8), (6, 3, 8, 9), (2, 3, 1, 4, 4)])
def test_shapes_stay_and_0_pixels_change_nothing(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape)
    assert RandomShift(1)({"image": image})["image"].shape == shape
    assert torch.equal(RandomShift(0)({"image": image})["image"], image)


def test_other_tensors_are_kept() -> None:
    label = torch.tensor(3)
    assert RandomShift(1, keys=["x"])({"x": torch.rand(1, 4, 4), "label": label})["label"] is label


def test_the_padding_of_masks_has_their_value() -> None:
    """Picture and mask are shifted alike; the padding of the picture stays 0."""
    torch.manual_seed(0)
    sample = {"image": torch.ones(50, 1, 4, 5), "mask": torch.full((50, 4, 5), 7)}
    result = RandomShift(2, keys=["image", "mask"], mask_fill=-100)(sample)
    inside = result["image"].squeeze(1) == 1
    assert (result["mask"][inside] == 7).all()
    assert (result["mask"][~inside] == -100).all()
    assert (result["image"].squeeze(1)[~inside] == 0).all()
    assert 0 < inside.sum() < inside.numel()


def test_shift_that_is_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^RandomShift: pixels is 9, but a picture has only 8 x 8 pixels$"):
        RandomShift(pixels=9)({"image": torch.rand(1, 8, 8)})

import pytest
import torch

from project.core.errors import ConfigError
from project.transforms.random_crop import RandomCrop


def test_every_result_is_one_of_all_crops() -> None:
    torch.manual_seed(0)
    image = torch.rand(300, 2, 4, 5)
    found = []
    for before, after in zip(image, RandomCrop(3)({"image": image})["image"], strict=True):
        found += [
            (top, left)
            for top in range(2)
            for left in range(3)
            if torch.equal(before[:, top : top + 3, left : left + 3], after)
        ]
    assert len(found) == 300
    assert len(set(found)) == 6  # all crops occur


def test_a_crop_of_the_picture_size_is_the_picture() -> None:
    image = torch.rand(3, 4, 4)
    assert torch.equal(RandomCrop(4)({"image": image})["image"], image)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 4)])
def test_a_crop_larger_than_the_picture_is_an_error(height: int, width: int) -> None:
    with pytest.raises(ConfigError, match=f"size is 5, but a picture has only {height} x {width} pixels"):
        RandomCrop(5)({"image": torch.rand(3, height, width)})

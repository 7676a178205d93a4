import pytest
import torch

from project.transforms.random_crop import RandomCrop


def test_every_picture_is_one_of_the_squares() -> None:
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
    assert len(set(found)) == 6  # all squares come up


def test_a_square_as_large_as_the_picture_is_the_picture() -> None:
    image = torch.rand(3, 4, 4)
    assert torch.equal(RandomCrop(4)({"image": image})["image"], image)


@pytest.mark.parametrize(("height", "width"), [(4, 5), (5, 4)])
def test_a_square_larger_than_the_picture(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"a picture of {height} x {width} pixels has no square of 5"):
        RandomCrop(5)({"image": torch.rand(3, height, width)})

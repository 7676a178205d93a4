from typing import Literal

import pytest
import torch

from project.transforms.random_flip import RandomFlip


@pytest.mark.parametrize(("direction", "dimension"), [("horizontal", -1), ("vertical", -2)])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_pictures_are_flipped_with_probability_p(
    direction: Literal["horizontal", "vertical"], dimension: int, p: float
) -> None:
    torch.manual_seed(0)
    image = torch.rand(1000, 2, 4, 5)
    result = RandomFlip(p, direction)({"image": image})["image"]
    same = (result == image).flatten(1).all(1)
    flipped = (result == image.flip(dimension)).flatten(1).all(1)
    assert (same ^ flipped).all()
    assert flipped.float().mean().item() == pytest.approx(p, abs=0.0 if p in (0, 1) else 0.05)


def test_default_direction_is_horizontal() -> None:
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert RandomFlip(1.0)({"image": image})["image"].tolist() == [[[2, 1], [4, 3]]]
    assert RandomFlip(1.0, "vertical")({"image": image})["image"].tolist() == [[[3, 4], [1, 2]]]

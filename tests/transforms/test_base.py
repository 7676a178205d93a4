from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from project.transforms.base import PictureTransform


class Recorder(PictureTransform):
    """Writes down what it is asked."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys)
        self.asked: list[tuple[Any, ...]] = []

    def draw(self, count: int, height: int, width: int) -> str:
        self.asked.append((count, height, width))
        return "drawn"

    def change(self, pictures: Tensor, drawn: str) -> Tensor:
        self.asked.append((tuple(pictures.shape), drawn))
        return pictures[:, :1, :2]


def test_a_transform_draws_once_and_changes_each_key() -> None:
    recorder = Recorder(["a", "b"])
    result = recorder({"a": torch.rand(2, 3, 1, 8, 9), "b": torch.rand(2, 3, 3, 8, 9)})
    assert recorder.asked == [(6, 8, 9), ((6, 1, 8, 9), "drawn"), ((6, 3, 8, 9), "drawn")]
    assert result["a"].shape == result["b"].shape == (2, 3, 1, 2, 9)  # it may change channels and size


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 8, 8)])
def test_keys_of_different_sizes(shape: tuple[int, ...]) -> None:
    sample = {"image": torch.rand(3, 8, 8), "target": torch.rand(shape)}
    with pytest.raises(ValueError, match="image, target change alike, but are of different sizes"):
        Recorder(["image", "target"])(sample)


def test_a_single_key_may_stand_alone() -> None:
    sample = {"picture": torch.rand(3, 8, 8)}
    assert Recorder("picture")(sample)["picture"].shape == (1, 2, 8)

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from project.transforms.base import PictureTransform


class Recorder(PictureTransform):
    """Transform that records its calls."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys)
        self.calls: list[tuple[Any, ...]] = []

    def draw(self, count: int, height: int, width: int) -> str:
        self.calls.append((count, height, width))
        return "drawn"

    def change(self, pictures: Tensor, drawn: str) -> Tensor:
        self.calls.append((tuple(pictures.shape), drawn))
        return pictures[:, :1, :2]


def test_a_transform_draws_once_and_changes_each_key() -> None:
    recorder = Recorder(["a", "b"])
    result = recorder({"a": torch.rand(2, 3, 1, 8, 9), "b": torch.rand(2, 3, 3, 8, 9)})
    assert recorder.calls == [(6, 8, 9), ((6, 1, 8, 9), "drawn"), ((6, 3, 8, 9), "drawn")]
    assert result["a"].shape == result["b"].shape == (2, 3, 1, 2, 9)  # channels and size may change


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 8, 8)])
def test_keys_of_different_sizes_are_an_error(shape: tuple[int, ...]) -> None:
    sample = {"image": torch.rand(3, 8, 8), "target": torch.rand(shape)}
    with pytest.raises(ValueError, match="image, target must have the same number of pictures and size"):
        Recorder(["image", "target"])(sample)


def test_keys_may_be_a_single_name() -> None:
    sample = {"picture": torch.rand(3, 8, 8)}
    assert Recorder("picture")(sample)["picture"].shape == (1, 2, 8)

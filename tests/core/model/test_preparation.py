"""`model.prepare` is the same in training and evaluation."""

import pytest
import torch
from torch import Tensor

from project.core.model.preparation import Preparation
from project.transforms.base import PictureTransform


class Halved(PictureTransform):
    """Half of the values."""

    def change(self, pictures: Tensor, drawn: object) -> Tensor:
        return pictures / 2


class Dimmed(Halved):
    """A random fraction of the values."""

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return torch.rand(count, 1, 1, 1)


@pytest.mark.parametrize(("transform", "is_random"), [(Dimmed(), True), (Halved(), False)])
def test_random_transforms_are_warned_of(transform: PictureTransform, is_random: bool, messages: list[str]) -> None:
    Preparation({"x": transform})
    assert [text.partition(";")[0] for text in messages] == [
        "model.prepare.x (Dimmed) is random, in evaluations as well"
    ] * is_random

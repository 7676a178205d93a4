"""`model.prepare` is the same in training and evaluation."""

import pytest
from loguru import logger

from project.core.model.preparation import Preparation
from project.registry import Transform
from project.transforms.normalize import Normalize
from project.transforms.random_flip import RandomFlip


@pytest.mark.parametrize(("transform", "is_random"), [(RandomFlip(), True), (Normalize([0.5], [1.0]), False)])
def test_random_transforms_are_warned_of(transform: Transform, is_random: bool) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    Preparation({"x": transform})
    logger.remove(sink)
    assert [text.partition(";")[0] for text in said] == [
        "model.prepare.x (RandomFlip) is random, in evaluations as well"
    ] * is_random

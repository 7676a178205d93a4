import re

import pytest
import torch
from torch import Tensor

from project.core.errors import ConfigError
from project.core.wiring import Wire, shapes


class Room:
    """Says what it got."""

    def call(
        self, a: Tensor, b: Tensor | None = None, *, batch: dict[str, Tensor], output: dict[str, Tensor]
    ) -> tuple[object, ...]:
        return a, b, sorted(batch), sorted(output)

    def plain(self, a: Tensor) -> Tensor:
        return a

    def broken(self, a: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


class Rest:
    """Takes what comes."""

    def call(self, a: Tensor, **rest: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return a, rest


ONE, TWO = torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)


def test_parameters_name_what_they_get() -> None:
    assert Wire(Room(), "call", "here")({"a": ONE}, {"x": TWO}) == (ONE, None, ["a"], ["x"])
    assert Wire(Room(), "call", "here")({"a": ONE}, {"b": TWO}) == (ONE, TWO, ["a"], ["b"])


def test_inputs_name_others() -> None:
    assert Wire(Room(), "plain", "here", {"a": "x"})({"a": ONE}, {"x": TWO}) is TWO


def test_the_rest_of_the_output() -> None:
    assert Wire(Rest(), "call", "here")({"a": ONE}, {"x": TWO, "y": ONE}) == (ONE, {"x": TWO, "y": ONE})
    assert Wire(Rest(), "call", "here", {"z": "y"})({"a": ONE}, {"x": TWO, "y": ONE}) == (ONE, {"z": ONE})


def test_a_name_in_batch_and_output_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=re.escape("here: 'a' is in the batch and in the net's output; rename one")):
        Wire(Room(), "plain", "here")({"a": ONE}, {"a": ONE})


def test_a_name_that_nothing_provides() -> None:
    with pytest.raises(ConfigError) as caught:
        Wire(Room(), "plain", "model.loss.x")({"aa": ONE}, {"x": TWO})
    assert str(caught.value) == (
        "model.loss.x (Room) needs 'a', which nothing provides; did you mean 'aa'?\n"
        "batch: aa; output: x\n"
        "Name another with model.loss.x.inputs: {a: NAME}"
    )


def test_an_exception_says_where_and_with_what() -> None:
    with pytest.raises(RuntimeError) as caught:
        Wire(Room(), "broken", "here")({"a": ONE}, {})
    assert caught.value.__notes__ == ["raised in here (Room), which got a (2, 3) float32"]


def test_shapes() -> None:
    assert shapes({"a": ONE, "b": TWO, "batch": {"c": ONE}, "d": 3}) == (
        "a (2, 3) float32, b (4,) int64, batch {c (2, 3) float32}, d int"
    )
    assert shapes({}) == "nothing"

"""Helpers for dicts of named tensors return their batch size, their rows and a description."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from project.core.data.tensors import apply_transform, batch_size, describe_shapes, named_tensors, select_rows
from project.core.errors import ConfigError

FLOATS, INTEGERS = torch.ones(2, 3), torch.zeros(4, dtype=torch.int64)


def test_batch_size_is_the_length_of_the_first_tensor_that_is_not_a_scalar() -> None:
    assert batch_size({"scale": torch.tensor(1.0), "x": torch.zeros(5, 2), "y": torch.zeros(3)}) == 5
    assert batch_size({"x": torch.zeros(0, 2)}) == 0


def test_batch_without_rows_is_an_error() -> None:
    message = "^a batch needs a tensor with a row for each sample; this one contains scale, text$"
    with pytest.raises(ConfigError, match=message):
        batch_size({"scale": torch.tensor(1.0), "text": ["a", "b"]})


def test_select_rows_keeps_tensors_with_a_row_for_each_sample() -> None:
    tensors = {
        "rows": FLOATS,
        "other_length": INTEGERS,
        "scalar": torch.tensor(2.0),
        "list": [1, 2],
        "vector": torch.arange(2),
    }
    selected = select_rows(tensors, 2)
    assert list(selected) == ["rows", "vector"]
    assert selected["rows"] is FLOATS


def test_description_has_names_shapes_and_dtypes() -> None:
    assert describe_shapes({"a": FLOATS, "b": INTEGERS, "batch": {"c": FLOATS}, "d": 3}) == (
        "a (2, 3) float32, b (4,) int64, batch {c (2, 3) float32}, d int"
    )
    assert describe_shapes({}) == "nothing"


def test_transform_that_returns_no_dict_is_an_error() -> None:
    """A training would skip None, and end without a step."""
    assert list(apply_transform(lambda batch: batch | {"b": INTEGERS}, {"a": FLOATS}, "x")) == ["a", "b"]
    with pytest.raises(ConfigError, match=r"^x \(function\) returns a NoneType; it must return a dict of tensors$"):
        apply_transform(lambda batch: None, {"a": FLOATS}, "x")


def test_named_tensors_finds_those_in_any_structure() -> None:
    """Dicts, lists, tuples and dataclasses in each other; what is no tensor is left out."""

    @dataclass
    class Boxes:
        corners: Tensor
        label: str = "none"

    batch = {"image": FLOATS, "more": [INTEGERS, (Boxes(FLOATS), None)], "name": ["a"]}
    assert list(dict(named_tensors(batch))) == ["image", "more.0", "more.1.0.corners"]
    assert dict(named_tensors(FLOATS)) == {"": FLOATS}

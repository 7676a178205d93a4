"""Raw inputs are those that the dataset describes, or are taken from a batch, to which a description must be true."""

from typing import Any

import pytest
import torch

from project.core.data.raw_inputs import raw_inputs
from project.core.errors import ConfigError
from project.datasets.base import Numbers, Picture

BATCH: dict[str, Any] = {
    "image": torch.zeros(2, 3, 8, 8),
    "length": torch.zeros(2, dtype=torch.int64),
    "tokens": torch.zeros(2, 5, dtype=torch.int32),
    "half": torch.zeros(2, 4, dtype=torch.bfloat16),
    "text": ["a", "b"],
}
CORRECT = "\nCorrect `raw`; if an augmentation changes the tensor for the net, move it to model.prepare"


class Described:
    """Dataset with a `raw`."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw


def test_what_is_not_described_is_taken_from_the_batch() -> None:
    found = raw_inputs(object(), BATCH, ["tokens", "image", "length"])
    assert list(found.items()) == [
        ("tokens", Numbers((5,), "int32")),
        ("image", Numbers((3, 8, 8), "float32")),
        ("length", Numbers((), "int64")),
    ]


@pytest.mark.parametrize("size", [8, None])
def test_descriptions_are_kept(size: int | None) -> None:
    """Lengths that are None are any."""
    raw = {"image": Picture(3, size), "tokens": Numbers((None,), "int32")}
    assert raw_inputs(Described(raw | {"other": Picture()}), BATCH, raw) == raw


@pytest.mark.parametrize(
    ("name", "raw", "found"),
    [
        ("image", Picture(1), "(3, 8, 8) float32"),
        ("image", Picture(3, 16), "(3, 8, 8) float32"),
        ("image", Numbers((3, 8), "float32"), "(3, 8, 8) float32"),
        ("tokens", Picture(1), "(5,) int32"),
        ("tokens", Numbers((5,), "int64"), "(5,) int32"),
        ("tokens", Numbers((4,), "int32"), "(5,) int32"),
        ("tokens", "int32", "(5,) int32"),
    ],
)
def test_description_that_is_not_true_is_refused(name: str, raw: Any, found: str) -> None:
    """Else the exported net would get other inputs than the net was trained with."""
    with pytest.raises(ConfigError) as caught:
        raw_inputs(Described({name: raw}), BATCH, [name])
    assert str(caught.value) == f"Described.raw says that `{name}` is {raw}, but a sample has {found}{CORRECT}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half", "object: `half` is bfloat16, which NumPy lacks; let the dataset return float32"),
        *(
            (
                name,
                f"the net takes `{name}`, but a batch of object has image (2, 3, 8, 8) float32, length (2,) int64, "
                "tokens (2, 5) int32, half (2, 4) bfloat16, text list",
            )
            for name in ("text", "missing")
        ),
    ],
)
def test_tensors_that_no_input_has_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        raw_inputs(object(), BATCH, [name])
    assert str(caught.value) == message


def test_raw_that_is_no_dict_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^Described.raw is Picture\(channels=3, size=None\); it must be a dict of "):
        raw_inputs(Described(Picture()), BATCH, ["image"])

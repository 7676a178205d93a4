"""Free sizes are tried with batches of other sizes, which the net takes."""

import pytest
import torch

from project.core.export.sizes import resize_free
from project.deploy.inputs import Input, Numbers, Picture
from project.deploy.model_card import Length

FIXED = Length(1, 1)
PICTURE = {"image": Picture(1)}


@pytest.mark.parametrize(
    ("size", "lengths", "expected"),
    [
        ((8, 8), (Length(1), Length(1)), [(9, 10), (13, 14), (10, 9)]),
        ((4, 8), (Length(1), Length(1)), [(5, 10), (7, 14), (10, 5)]),
        ((8, 8), (Length(4, None, 4), Length(4, None, 4)), [(12, 16), (16, 20), (16, 12)]),
        ((8, 8), (Length(8, None, 8), Length(8, 16, 8)), [(16, 16), (24, 16)]),
        ((8, 8), (Length(8, 8), Length(1)), [(8, 9), (8, 13)]),
        ((8, 8), (Length(1, 8), Length(1, 9)), [(7, 6), (6, 9)]),
        ((8, 8), (Length(8, 8), Length(8, 8)), []),
    ],
    ids=["any", "wide", "steps", "only some larger", "only width", "only smaller", "fixed"],
)
def test_free_lengths_change_by_what_is_allowed(
    size: tuple[int, int], lengths: tuple[Length, Length], expected: list[tuple[int, int]]
) -> None:
    image = torch.arange(2.0 * size[0] * size[1]).view(2, 1, *size)
    found = [batch["image"] for batch in resize_free({"image": image}, PICTURE, {"image": (FIXED, *lengths)})]
    assert [tuple(each.shape[2:]) for each in found] == expected
    assert all(length.allows(new) for each in found for length, new in zip(lengths, each.shape[2:], strict=True))
    assert all(torch.equal(each[..., :4, :5], image[..., :4, :5]) for each in found)


def test_inputs_of_one_size_keep_one_size() -> None:
    lengths = (FIXED, Length(1), Length(1))
    batch = {"image": torch.zeros(2, 1, 8, 8), "mask": torch.zeros(2, 1, 8, 8)}
    found = resize_free(batch, PICTURE | {"mask": Picture(1)}, {"image": lengths, "mask": lengths})
    assert len(found) == 3
    assert all(each["image"].shape == each["mask"].shape for each in found)


def test_sequences_only_become_longer() -> None:
    """Their lengths, a tensor which is not resized, still fit."""
    inputs: dict[str, Input] = {"series": Numbers((None, None)), "lengths": Numbers((), "int64")}
    batch = {"series": torch.zeros(2, 4, 20), "lengths": torch.tensor([3, 4])}
    found = resize_free(batch, inputs, {"series": (Length(1), Length(1)), "lengths": ()})
    assert [tuple(each["series"].shape) for each in found] == [(2, 5, 22), (2, 7, 32)]
    assert all(torch.equal(each["lengths"], batch["lengths"]) for each in found)

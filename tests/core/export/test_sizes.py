"""A free size is tried with a batch of another one, which the net takes."""

import pytest
import torch

from project.core.export.sizes import resize_free
from project.deploy.model_card import Length

FIXED = Length(1, 1)


@pytest.mark.parametrize(
    ("lengths", "shape"),
    [
        ((FIXED, Length(1), Length(1)), (2, 1, 9, 10)),
        ((FIXED, Length(4, None, 4), Length(4, None, 4)), (2, 1, 12, 16)),
        ((FIXED, Length(8, None, 8), Length(8, 16, 8)), (2, 1, 16, 16)),
        ((FIXED, Length(8, 8), Length(1)), (2, 1, 8, 9)),
        ((FIXED, Length(1, 8), Length(1, 9)), (2, 1, 7, 6)),
        ((FIXED, Length(8, 8), Length(8, 8)), None),
    ],
    ids=["any", "steps", "only larger", "only width", "only smaller", "fixed"],
)
def test_free_lengths_change_by_what_is_allowed(lengths: tuple[Length, ...], shape: tuple[int, ...] | None) -> None:
    image = torch.arange(128.0).view(2, 1, 8, 8)
    resized = resize_free({"image": image}, {"image": lengths})
    assert (None if resized is None else resized["image"].shape) == shape
    if resized is not None:
        assert torch.equal(resized["image"][..., :4, :6], image[..., :4, :6])


def test_inputs_of_one_size_keep_one_size() -> None:
    lengths = (FIXED, Length(1), Length(1))
    batch = {"image": torch.zeros(2, 1, 8, 8), "mask": torch.zeros(2, 1, 8, 8)}
    resized = resize_free(batch, {"image": lengths, "mask": lengths})
    assert resized is not None
    assert resized["image"].shape == resized["mask"].shape == (2, 1, 9, 10)

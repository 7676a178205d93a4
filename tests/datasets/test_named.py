"""Named makes named tensors of what datasets of other packages return."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from project.core.data.loading import build_loader
from project.datasets.named import Named
from project.datasets.subset import Subset
from project.registry import ConfigError

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)  # (H, W, C)


def named(sample: Any, fields: Any, **arguments: Any) -> dict[str, torch.Tensor]:
    """Return the only sample of a dataset of another package."""
    return Named([sample], fields, **arguments)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, torch.tensor(3)),
        (0.5, torch.tensor(0.5)),
        (True, torch.tensor(True)),
        (np.float64(0.5), torch.tensor(0.5)),
        (np.array([1, 2], dtype=np.int32), torch.tensor([1, 2])),
        ([1.0, 2.0], torch.tensor([1.0, 2.0])),
        (torch.tensor([1, 2], dtype=torch.uint8), torch.tensor([1, 2])),
        (Image.fromarray(PIXELS[..., 0]), torch.from_numpy(PIXELS[..., 0]).long()),
    ],
    ids=["int", "float", "bool", "float64", "int32", "list", "uint8", "mask"],
)
def test_values_become_tensors(value: Any, expected: torch.Tensor) -> None:
    found = named((0, value), [None, "value"])
    torch.testing.assert_close(found, {"value": expected}, rtol=0, atol=0)


@pytest.mark.parametrize(
    "picture",
    [Image.fromarray(PIXELS), PIXELS, torch.from_numpy(PIXELS).permute(2, 0, 1)],
    ids=["Pillow", "H, W, C", "C, H, W"],
)
def test_pictures_become_floats_with_channels_first(picture: Any) -> None:
    expected = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255
    assert torch.equal(named((picture,), ["image"])["image"], expected)
    grey = named({"a": Image.fromarray(PIXELS[..., 0]), "b": 1}, {"a": "x"}, pictures=["x"])
    assert grey.keys() == {"x"}
    assert torch.equal(grey["x"], expected[:1])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pillow_tells_the_channels_of_a_picture(mode: str) -> None:
    """Its height of 3 is no number of channels."""
    picture = Image.new("RGB", (5, 3), "white").convert(mode)
    channels = {"1": 1, "L": 1, "RGBA": 4}.get(mode, 3)
    assert torch.equal(named((picture,), ["image"])["image"], torch.ones(channels, 3, 5))


class Tuples(list[Any]):
    """Dataset with a `collate` for its own samples, and an order."""

    num_words = 5

    def collate(self, samples: list[Any]) -> Any:
        raise AssertionError("these are not its samples")

    def order(self, seed: int, epoch: int) -> list[int]:
        return [1, 0]


def test_attributes_and_order_are_those_of_the_dataset_but_not_its_collate() -> None:
    dataset = Named(Tuples([(1,), (2,)]), ["label"])  # type: ignore[arg-type]
    assert (dataset.num_words, dataset.order(0, 0)) == (5, [1, 0])
    loader = build_loader(dataset, "here", 2, seed=0, is_training=True)
    assert [batch["label"].tolist() for batch in loader] == [[2, 1]]


def test_dict_keeps_the_fields_and_torch_datasets_work() -> None:
    assert named({"a": 1, "b": 2}, ["b"]) == {"b": torch.tensor(2)}
    dataset = Named(TensorDataset(torch.eye(3), torch.arange(3)), ["features", "label"])  # type: ignore[arg-type]
    assert len(dataset) == 3
    assert dataset[1]["label"] == 1
    assert torch.equal(dataset[1]["features"], torch.eye(3)[1])
    assert not hasattr(Named(Subset(dataset, indices=[2]), {"label": "label"}), "indices")  # those of another one


@pytest.mark.parametrize(
    ("sample", "fields", "message"),
    [
        (
            (PIXELS, 1),
            ["image"],
            "Named.fields has 1 names, but a sample of list has 2 values: ndarray (2, 4, 3), int",
        ),
        ((1,), {"a": "b"}, "Named.fields renames entries of a dict, but a sample of list has 1 values: int"),
        (
            {"img": 1, "fine_label": 2},
            ["image"],
            "Named.fields: a sample of list has no 'image'; it has img, fine_label",
        ),
        (
            ("a cat",),
            ["text"],
            "Named.fields: 'text' of list is str, no tensor; leave it out (null in a list)",
        ),
        ({"a": 1, "b": 2}, {"a": "c", "b": "c"}, "Named.fields has 'c' twice"),
    ],
    ids=["number", "tuple", "key", "text", "twice"],
)
def test_what_does_not_fit_is_told(sample: Any, fields: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        named(sample, fields)
    assert str(caught.value) == message

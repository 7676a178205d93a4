from typing import Any

import pytest
import torch

from project.transforms.color_jitter import ColorJitter
from project.transforms.cutout import Cutout
from project.transforms.gaussian_noise import GaussianNoise
from project.transforms.normalize import Normalize
from project.transforms.random_crop import RandomCrop
from project.transforms.random_flip import RandomFlip
from project.transforms.random_shift import RandomShift

DRAWING: list[tuple[Any, dict[str, Any]]] = [
    (ColorJitter, {}),
    (Cutout, {"size": 3}),
    (RandomCrop, {"size": 4}),
    (RandomFlip, {"direction": "vertical"}),
    (RandomShift, {"pixels": 2}),
]
RANDOM = [*DRAWING, (GaussianNoise, {})]
ALL = [*RANDOM, (Normalize, {"mean": [0.5], "std": [2.0]})]


@pytest.mark.parametrize(("cls", "arguments"), DRAWING)
def test_keys_change_alike(cls: Any, arguments: dict[str, Any]) -> None:
    image = torch.rand(50, 3, 8, 9)
    result = cls(**arguments, keys=["image", "target"])({"image": image, "target": image.clone()})
    assert torch.equal(result["image"], result["target"])


@pytest.mark.parametrize(("cls", "arguments"), RANDOM)
def test_pictures_of_a_batch_change_independently(cls: Any, arguments: dict[str, Any]) -> None:
    image = torch.rand(3, 8, 9).expand(50, -1, -1, -1)
    result = cls(**arguments)({"image": image})["image"]
    assert len(result.unique(dim=0)) > 1


@pytest.mark.parametrize("leading", [(), (1,), (10,), (2, 5), (2, 1, 5)])
@pytest.mark.parametrize(("cls", "arguments"), ALL)
def test_any_leading_dimensions(cls: Any, arguments: dict[str, Any], leading: tuple[int, ...]) -> None:
    image, transform = torch.rand(*leading, 3, 8, 9), cls(**arguments)
    torch.manual_seed(0)
    result = transform({"image": image})["image"]
    torch.manual_seed(0)
    flat = transform({"image": image.reshape(-1, 3, 8, 9)})["image"]
    assert result.shape[:-2] == (*leading, 3)
    assert torch.equal(result.reshape(flat.shape), flat)


@pytest.mark.parametrize(("cls", "arguments"), ALL)
def test_only_the_keys_are_replaced_and_never_in_place(cls: Any, arguments: dict[str, Any]) -> None:
    sample = {name: torch.rand(50, 3, 8, 9) for name in ("image", "picture")} | {"label": torch.arange(50)}
    before = dict(sample)
    values = {name: value.clone() for name, value in sample.items()}
    result = cls(**arguments, keys=["picture"])(sample)
    assert sample == before  # the same objects
    assert all(torch.equal(sample[name], values[name]) for name in sample)
    assert result.keys() == sample.keys()
    assert result["image"] is sample["image"]
    assert result["label"] is sample["label"]
    assert not torch.equal(result["picture"], values["picture"])
    result["picture"].zero_()
    assert torch.equal(sample["picture"], values["picture"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_color_jitter_keeps_the_dtype(dtype: torch.dtype) -> None:
    assert ColorJitter()({"image": torch.rand(2, 3, 4, 4, dtype=dtype)})["image"].dtype == dtype

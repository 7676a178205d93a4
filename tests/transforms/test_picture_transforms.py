import re
from typing import Any

import pytest
import torch

from project.core.errors import ConfigError
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


@pytest.mark.parametrize("leading", [(), (5,), (1,), (2, 5)])
@pytest.mark.parametrize(
    ("cls", "arguments", "dtype"),
    [
        (cls, arguments, dtype)
        for cls, arguments in DRAWING
        for dtype in (torch.float32, *(() if cls.computes else (torch.int64, torch.uint8, torch.bool)))
    ],
)
def test_masks_without_channels_change_as_the_pictures_and_keep_their_dimensions(
    cls: Any, arguments: dict[str, Any], leading: tuple[int, ...], dtype: torch.dtype
) -> None:
    image = (255 * torch.rand(*leading, 1, 8, 9)).to(dtype)
    mask = image.squeeze(-3).clone()
    for keys in (["image", "mask"], ["mask", "image"]):
        result = cls(**arguments, keys=keys)({"image": image, "mask": mask})
        assert result["image"].shape[:-2] == (*leading, 1)
        assert result["mask"].shape[:-2] == leading
        assert result["mask"].dtype == dtype
        assert torch.equal(result["mask"], result["image"].squeeze(-3))


@pytest.mark.parametrize(("cls", "arguments"), ALL)
def test_a_mask_alone_keeps_its_two_dimensions(cls: Any, arguments: dict[str, Any]) -> None:
    mask, transform = torch.rand(8, 9), cls(**arguments, keys="mask")
    torch.manual_seed(0)
    result = transform({"mask": mask})["mask"]
    torch.manual_seed(0)
    assert torch.equal(result, transform({"mask": mask[None]})["mask"][0])


@pytest.mark.parametrize(("cls", "arguments"), ALL)
@pytest.mark.parametrize("shape", [(), (8,), (2, 2, 1, 8, 9)])
def test_impossible_shapes_are_refused(cls: Any, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    sample = {"image": torch.rand(3, 8, 9), "mask": torch.rand(shape)}
    wrong = "image (3, 8, 9)" if len(shape) == 5 else f"mask {shape}"
    with pytest.raises(ConfigError, match=re.escape(f"{wrong} float32 is neither a picture (..., C, H, W) nor")):
        cls(**arguments, keys=["image", "mask"])(sample)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(("cls", "arguments"), ALL)
def test_dtype_of_pictures_stays(cls: Any, arguments: dict[str, Any], dtype: torch.dtype) -> None:
    assert cls(**arguments)({"image": torch.rand(2, 3, 8, 9).to(dtype)})["image"].dtype == dtype


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize(("cls", "arguments"), [(ColorJitter, {}), (GaussianNoise, {})])
def test_computed_values_need_floats(cls: Any, arguments: dict[str, Any], dtype: torch.dtype) -> None:
    """Computed in integers, factors of 0.9 would be 0."""
    name = str(dtype).removeprefix("torch.")
    message = f"{cls.__name__}: picture (3, 8, 9) {name} has no floats, which it computes"
    with pytest.raises(ConfigError, match=re.escape(message)):
        cls(**arguments, keys="picture")({"picture": torch.ones(3, 8, 9, dtype=dtype)})


@pytest.mark.parametrize(
    ("transform", "dtype", "message"),
    [
        (Normalize([0.0] * 3, [1.0] * 3), torch.float32, "mean has 3 and std 3 values, but a picture has 2 channels"),
        (Normalize([0.0], [1.0] * 3), torch.float32, "mean has 1 and std 3 values, but a picture has 2 channels"),
        (ColorJitter(), torch.float32, "a picture has 2 channels; it must have 1 or 3"),
        (Cutout(fill=0.5), torch.int64, "fill is 0.5, which a picture of torch.int64 cannot hold"),
        (Cutout(fill=-1.0), torch.uint8, "fill is -1.0, which a picture of torch.uint8 cannot hold"),
    ],
)
def test_pictures_that_would_change_silently_are_refused(transform: Any, dtype: torch.dtype, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{type(transform).__name__}: {re.escape(message)}") as caught:
        transform({"image": torch.ones(2, 8, 9, dtype=dtype)})
    name = str(dtype).removeprefix("torch.")
    assert caught.value.__notes__ == [f"{type(transform).__name__} was changing image (2, 8, 9) {name}"]

"""Pictures with masks."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from project.datasets.masks import Masks, read_mask
from project.deploy.inputs import InputError
from project.registry import ConfigError, Transform
from project.transforms.random_crop import RandomCrop
from project.transforms.random_flip import RandomFlip
from project.transforms.random_shift import RandomShift

CLASSES = np.arange(12, dtype=np.uint8).reshape(3, 4) % 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a directory in which the red of a picture is 51 times the class of its mask."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    red = np.stack([51 * CLASSES, 0 * CLASSES, 0 * CLASSES], axis=2)
    Image.fromarray(red).save(tmp_path / "images/a.bmp")
    Image.fromarray(CLASSES).save(tmp_path / "masks/a.png")
    return tmp_path


def masks(folder: Path, **arguments: Any) -> Masks:
    settings: dict[str, Any] = {"num_classes": 5, "data_dir": str(folder)}
    return Masks("images", "masks", **(settings | arguments))


def test_a_mask_has_the_class_of_each_pixel(folder: Path) -> None:
    dataset = masks(folder)
    sample = dataset[0]
    assert (len(dataset), dataset.name(0), dataset.num_classes) == (1, "a", 5)
    assert (sample["mask"].dtype, sample["mask"].tolist()) == (torch.int64, CLASSES.tolist())
    torch.testing.assert_close(sample["image"][0], sample["mask"] / 5)


@pytest.mark.parametrize("mode", ["palette", "black and white", "16 bits"])
def test_files_of_masks(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(CLASSES)
    if mode == "palette":
        image.putpalette([*range(255, 255 - 15, -1)])  # colors that are not the classes
    elif mode == "black and white":
        image = Image.fromarray(CLASSES > 2)
    else:
        image = Image.fromarray(CLASSES.astype(np.uint16) * 1000)
    image.save(tmp_path / "m.png")
    expected = {"palette": CLASSES, "black and white": CLASSES > 2, "16 bits": CLASSES.astype(int) * 1000}[mode]
    assert read_mask(tmp_path / "m.png").tolist() == expected.astype(int).tolist()


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_grey_masks_saved_as_colours(tmp_path: Path, mode: str) -> None:
    """Many programs save a grey picture so."""
    Image.fromarray(CLASSES).convert(mode).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == CLASSES.tolist()


def test_values_of_the_classes(folder: Path) -> None:
    """Masks of black and white have the classes 0 and 1; a value that is ignored needs no class."""
    values = np.where(CLASSES == 4, 7, np.where(CLASSES > 1, 255, 0)).astype(np.uint8)
    Image.fromarray(values).save(folder / "masks/a.png")
    dataset = masks(folder, num_classes=None, values=[0, 255], ignore=7)
    assert dataset.num_classes == 2
    assert dataset[0]["mask"].tolist() == np.where(CLASSES == 4, -100, np.where(CLASSES > 1, 1, 0)).tolist()
    assert (masks(folder, num_classes=None, values=[255, 0], ignore=7)[0]["mask"] == 0).sum() == (values == 255).sum()


def test_suffix_of_the_names_of_masks(folder: Path) -> None:
    (folder / "masks/a.png").rename(folder / "masks/a_mask.png")
    message = "masks has no picture 'a', but TMP/images has one\nIf its partner is 'a_mask', set mask_suffix: _mask"
    with pytest.raises(FileNotFoundError, match=re.escape(message.replace("TMP", str(folder)))):
        masks(folder)
    dataset = masks(folder, mask_suffix="_mask")
    assert (dataset.name(0), dataset[0]["mask"].tolist()) == ("a", CLASSES.tolist())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": None}, "Masks needs num_classes, or values"),
        ({"values": [0, 255]}, "Masks: values are [0, 255]; it needs 5 different ones, one per class"),
        ({"num_classes": None, "values": [0, 0]}, "Masks: values are [0, 0]; it needs different ones, one per class"),
        ({"num_classes": None, "values": []}, "Masks: values are []; it needs different ones, one per class"),
    ],
)
def test_number_of_classes(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        masks(folder, **arguments)


def test_ignored_pixels_are_left_out_by_cross_entropy(folder: Path) -> None:
    sample = masks(folder, num_classes=4, ignore=4)[0]
    assert (sample["mask"] == -100).tolist() == (CLASSES == 4).tolist()
    logits = torch.randn(1, 4, 3, 4)
    kept = sample["mask"] >= 0
    loss = torch.nn.functional.cross_entropy(logits, sample["mask"][None])
    expected = torch.nn.functional.cross_entropy(logits[0, :, kept].T, sample["mask"][kept])
    torch.testing.assert_close(loss, expected)


def test_size_scales_picture_and_mask_to_the_same_square(folder: Path) -> None:
    """No class appears in a scaled mask that lies between two others."""
    classes = np.zeros((40, 60), dtype=np.uint8)
    classes[:, 30:] = 4
    Image.fromarray(classes).save(folder / "masks/a.png")
    Image.fromarray(np.stack([51 * classes] * 3, axis=2)).save(folder / "images/a.bmp")
    sample = masks(folder, size=16)[0]
    assert (sample["image"].shape, sample["mask"].shape) == ((3, 16, 16), (16, 16))
    assert sample["mask"].unique().tolist() == [0, 4]
    assert ((sample["image"][0] > 0.4) == (sample["mask"] == 4)).all()


TRANSFORMS: list[Callable[..., Transform]] = [
    RandomFlip,
    lambda keys: RandomCrop(2, keys),
    lambda keys: RandomShift(2, keys),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=["flip", "crop", "shift"])
def test_transforms_change_picture_and_mask_alike(folder: Path, transform: Callable[..., Transform]) -> None:
    dataset = masks(folder, augmentation={"change": transform(keys=["image", "mask"])})
    found = set()
    for seed in range(20):
        torch.manual_seed(seed)
        sample = dataset[0]
        torch.testing.assert_close(sample["image"][0], sample["mask"] / 5)
        assert sample["mask"].dtype == torch.int64
        found.add(str(sample["mask"].tolist()))
    assert len(found) > 1


@pytest.mark.parametrize(
    ("name", "value", "arguments", "message"),
    [
        (
            "a.png",
            CLASSES,
            {"num_classes": 4},
            "a.png has a pixel of class 4, but num_classes is 4\nIf such pixels have no class, set ignore: 4; if the "
            "files have other values than 0, 1, ..., list those of all classes, such as values: [0, 4]",
        ),
        (
            "a.png",
            51 * CLASSES,
            {},
            "a.png has a pixel of class 204, but num_classes is 5\nIf such pixels have no class, set ignore: 204; if "
            "the files have other values than 0, 1, ..., list those of all classes, such as "
            "values: [0, 51, 102, 153, 204]",
        ),
        (
            "a.png",
            CLASSES,
            {"num_classes": None, "values": [0, 4, 1, 2]},
            "a.png has a pixel of 3, which is not one of values [0, 4, 1, 2]\nIf such pixels have no class, "
            "set ignore: 3",
        ),
        ("a.png", CLASSES[:2], {}, "a.bmp has 3 x 4 pixels, but its mask TMP/masks/a.png has 2 x 4"),
        ("a.png", CLASSES.T, {"size": 2}, "a.bmp has 3 x 4 pixels, but its mask TMP/masks/a.png has 4 x 3"),
        (
            "a.png",
            np.stack([CLASSES, CLASSES, CLASSES.T.reshape(3, 4)], axis=2),
            {},
            "a.png has colours (Pillow mode RGB); a mask needs the class",
        ),
        ("a.jpg", CLASSES, {}, "a.jpg is a JPEG, which does not keep the classes of a mask; save masks as PNG"),
    ],
)
def test_files_that_are_no_masks_are_refused(
    folder: Path, name: str, value: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    (folder / "masks/a.png").unlink()
    Image.fromarray(value).save(folder / "masks" / name)
    with pytest.raises(ConfigError, match=re.escape(message.replace("TMP", str(folder)))):
        masks(folder, **arguments)[0]


@pytest.mark.parametrize(
    ("data", "problem"),
    [(lambda data: data[:50], ""), (lambda data: b"text", "it is no picture, or of a format that Pillow lacks")],
)
def test_damaged_masks_are_named(folder: Path, data: Callable[[bytes], bytes], problem: str) -> None:
    """As a picture is: the engine shows an InputError without a traceback."""
    file = folder / "masks/a.png"
    file.write_bytes(data(file.read_bytes()))
    with pytest.raises(InputError, match=f"^{re.escape(str(file))} cannot be read: {problem}"):
        masks(folder)[0]

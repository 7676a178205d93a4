"""Pictures of what transforms and visuals do with example data of the repository."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

import project
from project.registry import TRANSFORM_REGISTRY, VISUAL_REGISTRY
from project.transforms.base import BatchTransform
from reference.components_page import picture_arguments, picture_name

_DATA = Path(project.__file__).parent / "datasets"
_SIDE, _GAP, _AFTER = 96, 4, 3
_COLORS = 96  # of a file
Sample = dict[str, Tensor]


def write_pictures(folder: Path) -> list[str]:
    """Write the picture of each transform and visual to a directory, and remove the others.

    Returns:
        A line for each component without a picture, which says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notes, written = [], set()
    for registry in (TRANSFORM_REGISTRY, VISUAL_REGISTRY):
        for name in registry.names():
            torch.manual_seed(0)
            try:
                draw = _draw_transform if registry is TRANSFORM_REGISTRY else _draw_visual
                picture = draw(registry.resolve(name, name))
            except Exception as error:  # of the code of a component
                notes.append(f"no picture of {name}: {type(error).__name__}: {error}")
                continue
            pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
            written.add(picture_name(registry, name))
            Image.fromarray(pixels).quantize(_COLORS).save(folder / picture_name(registry, name), optimize=True)
    for file in folder.glob("*.png"):
        if file.name not in written:
            file.unlink()
    return notes


def _draw_transform(cls: Any) -> Tensor:
    transform = cls(**picture_arguments(cls))
    if issubclass(cls, BatchTransform):
        batch = _digits(8)
        return torch.cat([_row(batch["image"]), _row(transform(batch)["image"])], dim=1)
    before = _photograph()
    count = _AFTER if getattr(cls, "is_random", None) else 1
    after = [transform({"image": before})["image"] for _ in range(count)]
    return _row([before, *after])


def _draw_visual(cls: Any) -> Tensor:
    visual = cls(**picture_arguments(cls))
    needed = inspect.signature(visual).parameters
    fitting = (each for make in (_classified, _segmented, _restored) if (each := make()).keys() >= {*needed})
    sample = next(fitting, {}) or {**_classified(), **getattr(cls, "example", {})}
    picture = visual(**{name: sample[name] for name in needed if name in sample})
    if not isinstance(picture, Tensor):
        raise TypeError("it draws a figure")
    return picture.float() / (1 if picture.is_floating_point() else 255)


def _digits(count: int) -> Sample:
    with np.load(_DATA / "digits.npz") as arrays:
        image, label = arrays["image"][:count], arrays["label"][:count]
    return {"image": torch.from_numpy(image).unsqueeze(1).float() / 16, "label": torch.from_numpy(label).long()}


def _classified() -> Sample:
    """Return digits, of which the predictions of every fourth are wrong."""
    sample = _digits(12)
    wrong = torch.arange(12) % 4 == 3
    return sample | {"logits": F.one_hot((sample["label"] + wrong.long()) % 10, 10).float()}


def _segmented() -> Sample:
    """Return pictures with masks; the predicted masks are shifted."""
    files = sorted((_DATA / "shapes/images").glob("*.png"))
    image = torch.stack([_read(file) for file in files])
    mask = torch.stack([_read(_DATA / "shapes/masks" / file.name)[0] * 255 for file in files]).round().long()
    scaled = mask.repeat_interleave(3, 1).repeat_interleave(3, 2)
    logits = F.one_hot(scaled.roll(5, -1), int(mask.max()) + 1).permute(0, 3, 1, 2).float()
    return {"image": image.repeat_interleave(3, -2).repeat_interleave(3, -1), "mask": scaled, "logits": logits}


def _restored() -> Sample:
    """Return a photograph with noise, blurred and as it is."""
    target = _photograph().unsqueeze(0)
    image = target + 0.15 * torch.randn(target.shape)
    return {"image": image, "prediction": F.avg_pool2d(image, 5, 1, 2), "target": target}


def _photograph() -> Tensor:
    picture = Image.open(_DATA / "photographs/china.jpg").crop((100, 0, 527, 427)).resize((_SIDE, _SIDE))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def _read(file: Path) -> Tensor:
    pixels = torch.from_numpy(np.array(Image.open(file)))
    return (pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels.unsqueeze(0)).float() / 255


def _row(pictures: Any) -> Tensor:
    """Return pictures `(1 or 3, h, w)` side by side in white frames; small ones are enlarged."""
    tiles = []
    for picture in pictures:
        factor = max(1, 48 // picture.shape[-1])
        large = picture.expand(3, -1, -1).repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        side = max(_SIDE if picture.shape[-1] > 8 else 0, large.shape[-1])
        missing = side - large.shape[-1]
        tiles.append(F.pad(large, [0, missing + _GAP, missing // 2, missing - missing // 2 + _GAP], value=1.0))
    return torch.cat(tiles, dim=2)

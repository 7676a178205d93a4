"""Transforms of evaluation sets that an exported net would not get are warned of once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.cli.augmentation import warn_of_augmentation
from project.core.config.configuration import build_config
from project.transforms.base import PictureTransform, Transform
from tests.conftest import TINY, Cli

HERE = "tests.core.cli.test_augmentation"
REMEDY = "If the net needs it, move it to model.prepare; if it makes the task, set `is_task = True` in its class"


class Halved(PictureTransform):
    """Deterministic: it has no `draw`."""

    def change(self, pictures: Tensor, drawn: object) -> Tensor:
        return pictures / 2


class Drawn(Halved):
    """Random by its `draw`."""

    def draw(self, count: int, height: int, width: int) -> Tensor:
        return torch.rand(count, 1, 1, 1)


class DrawnAgain(Drawn):
    """Random by the `draw` of its base class."""


class Noise(Halved):
    """Random without a `draw`."""

    is_random = True


class Hidden(Halved):
    """Deterministic, and what the net has to undo."""

    is_task = True


class Called(Transform):
    """May draw in `__call__`."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample


class Centered(Called):
    """Says that it does not."""

    is_random = False


def glyphs(*transforms: type) -> dict[str, Any]:
    augmentation = {cls.__name__.lower(): {"type": f"{HERE}.{cls.__name__}"} for cls in transforms}
    return {"type": "tests.components.Glyphs", "split": "val", "augmentation": augmentation}


def told(data: dict[str, Any], prepare: tuple[type, ...] = ()) -> list[str]:
    """Return the config paths that the warning names."""
    found: list[str] = []
    prepared = {str(number): {"type": f"{HERE}.{cls.__name__}"} for number, cls in enumerate(prepare)}
    tree = {key: TINY[key] for key in ("name", "trainer")}
    tree |= {"model": TINY["model"] | {"prepare": prepared}, "data": {"train": glyphs(Halved)} | data}
    components = build_config(tree).components
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("project.core.cli.augmentation.logger.warning", found.append)
        warn_of_augmentation(components)
    assert len(found) <= 1
    return [line.partition(" ")[0] for text in found for line in text.partition(":")[0].split(", ")]


@pytest.mark.parametrize(
    ("transform", "is_told"),
    [(Halved, True), (Centered, True), *((cls, False) for cls in (Drawn, DrawnAgain, Noise, Hidden, Called))],
)
def test_transforms_that_draw_nothing_are_told(transform: type, is_told: bool) -> None:
    """Noise that makes a task of the data is none of them, wherever it is drawn."""
    path = f"data.val.augmentation.{transform.__name__.lower()}"
    assert told({"val": glyphs(transform)}) == [path] * is_told


def test_all_evaluation_sets_are_looked_at_but_not_the_training_set() -> None:
    """Also those inside others."""
    inside = {"type": "tests.core.components.RepeatedTwice", "inner": glyphs(Halved)}
    data = {"eval": {"type": None, "one": glyphs(Halved, Drawn), "two": inside}, "predict": glyphs(Centered)}
    assert told(data) == [
        "data.eval.one.augmentation.halved",
        "data.eval.two.inner.augmentation.halved",
        "data.predict.augmentation.centered",
    ]


def test_transforms_in_prepare_are_not_told() -> None:
    data = {"val": glyphs(Halved, Centered)}
    assert told(data, prepare=(Halved,)) == ["data.val.augmentation.centered"]
    assert told(data, prepare=(Halved, Centered)) == []


def test_fit_and_export_warn_once(cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the training or the export, in two lines; other stages do not."""
    config = tiny({"data": {"val": glyphs(Halved), "eval": glyphs(Halved)}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    named = [f"data.{split}.augmentation.halved (Halved)" for split in ("val", "eval")]
    text = f"{', '.join(named)}: an exported net does not get what the dataset applies"
    assert (ran.out + ran.err).count(text) == 1
    assert (ran.out + ran.err).count(REMEDY) == 1
    monkeypatch.setattr("project.core.cli.stages.export", lambda *arguments: None)
    for stage in ("export", "test"):
        assert cli(stage, "--ckpt_path", "experiments/tiny").err.count(text) == (stage == "export")

"""Config entries are converted to jsonargparse's form and back without loss."""

from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from project.core.config.annotations import Parameter
from project.core.config.entries import EntryConverter, PlainValue
from project.core.config.entry_checks import check_names, join_path
from project.core.config.settings import ProgressSettings
from project.core.config.terms import LossTerm, NetTerm
from project.core.config.yaml_files import PlainScalar
from project.core.errors import ConfigError
from project.registry import Dataset, Metric, Model, Transform

pytestmark = pytest.mark.usefixtures("short_names")
MLP = "tests.components.MLP"
EVALUATED = dict[str, Callable[[], Dataset]] | Callable[[], Dataset] | None  # as of `data.val`


@pytest.mark.parametrize(
    ("value", "annotation", "implied", "expanded"),
    [
        (
            {"type": "MLP", "in_features": 1, "num_classes": 2},
            Model,
            None,
            {"class_path": MLP, "init_args": {"in_features": 1, "num_classes": 2}},
        ),
        ("torch.nn.ReLU", torch.nn.Module, None, {"class_path": "torch.nn.modules.activation.ReLU", "init_args": {}}),
        # The key is the type.
        ({}, LossTerm, "cross_entropy", {"loss": {"class_path": "tests.components.CrossEntropy", "init_args": {}}}),
        # The reserved keys of a term are outside its component.
        (
            {"type": "L1Loss", "reduction": "sum", "weight": 2},
            LossTerm,
            "own",
            {"loss": {"class_path": "torch.nn.modules.loss.L1Loss", "init_args": {"reduction": "sum"}}, "weight": 2},
        ),
        # jsonargparse's own form is accepted.
        (
            {"class_path": MLP, "init_args": {"in_features": 1, "num_classes": 2}},
            Model,
            None,
            {"class_path": MLP, "init_args": {"in_features": 1, "num_classes": 2}},
        ),
        (
            {"random_shift": {"pixels": 2}, "gone": None},
            dict[str, Transform] | None,
            None,
            {"random_shift": {"class_path": "tests.components.RandomShift", "init_args": {"pixels": 2}}},
        ),
        (
            [{"type": "Timer", "duration": None}],
            list[pl.Callback] | pl.Callback | None,
            None,
            [{"class_path": "pytorch_lightning.callbacks.timer.Timer", "init_args": {}}],
        ),
        # One dataset has an empty name.
        (
            {"type": "Glyphs", "split": "val"},
            EVALUATED,
            None,
            {"": {"class_path": "tests.components.Glyphs", "init_args": {"split": "val"}}},
        ),
        (
            {"type": None, "one": {"type": "Glyphs", "split": "val"}},
            EVALUATED,
            None,
            {"one": {"class_path": "tests.components.Glyphs", "init_args": {"split": "val"}}},
        ),
        (None, EVALUATED, None, None),
        (None, ProgressSettings, None, {}),
        ({"train": 3}, ProgressSettings, None, {"train": 3}),
    ],
    ids=[
        "type", "text", "implied type", "reserved key", "class_path", "mapping", "list", "one dataset",
        "several datasets", "null", "group that is null", "group",
    ],
)  # fmt: skip
def test_expand(value: Any, annotation: Any, implied: str | None, expanded: Any) -> None:
    assert EntryConverter().expand(value, annotation, "path", implied) == expanded


@pytest.mark.parametrize(
    ("value", "annotation", "implied", "defaults"),
    [
        (
            {"type": "MLP", "in_features": 1, "num_classes": 2},
            Model,
            None,
            {"hidden": 64, "dropout": 0.0},
        ),
        ({"label_smoothing": 0.1, "weight": 2.0}, LossTerm, "cross_entropy", {"inputs": None}),
        (
            {"type": "L1Loss", "weight": 2.0},
            LossTerm,
            "own",
            {"size_average": None, "reduce": None, "reduction": "mean", "inputs": None},
        ),
        (
            {"random_shift": {"pixels": 2, "keys": ["image"]}},
            dict[str, Transform],
            None,
            {},
        ),
        ({"type": "Glyphs", "split": "val"}, EVALUATED, None, {"augmentation": None}),
        ({"one": {"type": "Glyphs", "split": "val", "augmentation": None}}, EVALUATED, None, {}),
        (None, EVALUATED, None, None),
        ({"train": 3}, ProgressSettings, None, {"val": 8, "local": True}),
    ],
)
def test_collapse_is_the_inverse_of_expand_with_defaults(
    value: Any, annotation: Any, implied: str | None, defaults: dict[str, Any] | None
) -> None:
    converter = EntryConverter()
    expanded = converter.expand(value, annotation, "path", implied)
    collapsed = converter.collapse(expanded, annotation, implied)
    assert collapsed == (value if defaults is None else value | defaults)
    again = converter.expand(collapsed, annotation, "path", implied)
    assert converter.collapse(again, annotation, implied) == collapsed


def test_plain_values_have_their_config_paths_and_annotations() -> None:
    converter = EntryConverter()
    converter.expand({"type": "MLP", "in_features": 1, "num_classes": 2, "output": "y"}, NetTerm, "model.net")
    assert converter.plain_values == [
        PlainValue("model.net.type", "MLP", str),
        PlainValue("model.net.in_features", 1, int),
        PlainValue("model.net.num_classes", 2, int),
        PlainValue("model.net.output", "y", str | None),
    ]


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("007", str, "007"),
        ("null", str | None, "null"),
        ("8", int, 8),
        ("1e-3", float | str, 0.001),
        ("true", bool, True),
        ("007", str | int, "007"),
    ],
)
def test_command_line_text_gets_the_type_of_its_config_path(text: str, annotation: Any, value: Any) -> None:
    expanded = EntryConverter().expand(PlainScalar(text), annotation, "path")
    assert expanded == value
    assert type(expanded) is type(value)
    nested = EntryConverter().expand({"key": PlainScalar(text)}, dict[str, annotation], "path")
    assert nested == {"key": value}


def test_engine_arguments_are_given_where_the_class_has_them_and_not_written() -> None:
    converter = EntryConverter({Dataset: {"split": "val", "unknown": 1}})
    expanded = converter.expand("Glyphs", Dataset, "data.val")
    assert expanded == {"class_path": "tests.components.Glyphs", "init_args": {"split": "val"}}
    assert converter.collapse(expanded, Dataset) == {"type": "Glyphs", "augmentation": None}
    own = converter.expand({"type": "Glyphs", "split": "test"}, Dataset, "data.val")
    assert converter.collapse(own, Dataset) == {"type": "Glyphs", "split": "test", "augmentation": None}


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (3, Model, "path is 3; it takes a mapping of settings"),
        ({"in_features": 1}, Model, "path needs a `type`\n"),
        ({"type": "MLP", "in_features": 1}, Model, r"path \(MLP\) needs num_classes\n"),
        ({"type": "Glyphs", "split": None}, Dataset, r"path.split is null; it takes train \| val \| test"),
        ({"type": "Accuracy"}, dict[str, Metric], "path takes several entries by name: path: {NAME: {type: ...}}"),
        (
            {"type": "Glyphs", "split": "val", "one": {"type": "Glyphs"}},
            EVALUATED,
            "path mixes one dataset with several",
        ),
    ],
)
def test_expand_refuses(value: Any, annotation: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        EntryConverter().expand(value, annotation, "path")


def test_check_names() -> None:
    parameters = {"width": Parameter(int, required=True), "depth": Parameter(int, required=False)}
    check_names({"width": 1}, parameters, "net")
    with pytest.raises(
        ConfigError, match=r"^net \(UNet\) has no setting 'widht'; did you mean 'width'\?\nknown: width"
    ):
        check_names({"widht": 1}, parameters, "net", "UNet")
    with pytest.raises(ConfigError, match=r"^the config needs width\nknown: width, depth, inputs$"):
        check_names({}, parameters, "", reserved=["inputs"])


def test_join_path() -> None:
    assert join_path("model", "net") == "model.net"
    assert join_path("", "model") == "model"
    assert join_path("trainer.callbacks", 0) == "trainer.callbacks.0"

"""Annotations of constructors tell where the yaml accepts components, groups of settings and plain values."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BackboneFinetuning

from project.core.config.annotations import (
    ContainerOf,
    Parameter,
    choices,
    component_field,
    describe_type,
    parameters_of,
    resolve_annotation,
    union_members,
)
from project.core.config.settings import ProgressSettings
from project.core.config.terms import LossTerm, VisualTerm
from project.registry import CALLBACK_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY, Loss, Model, Transform


class Base:
    """Class whose arguments a subclass passes on.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int, depth: int = 2) -> None: ...


class Derived(Base):
    """Subclass with one more argument.

    Args:
        name: name of the net.
    """

    def __init__(self, name: str = "net", **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_parameters_include_those_passed_on_as_kwargs() -> None:
    assert parameters_of(Derived) == {
        "name": Parameter(str, required=False, default="net", doc="name of the net."),
        "width": Parameter(int, required=True, default=inspect.Parameter.empty, doc="number of channels."),
        "depth": Parameter(int, required=False, default=2),
    }


def test_arguments_of_the_engine_are_left_out() -> None:
    assert list(parameters_of(torch.optim.SGD))[:2] == ["params", "lr"]
    assert next(iter(parameters_of(torch.optim.SGD, 1))) == "lr"


@pytest.mark.parametrize(
    ("annotation", "value", "target"),
    [
        (Model, {}, MODEL_REGISTRY),
        (Model | None, "MLP", MODEL_REGISTRY),
        (dict[str, Transform], {}, ContainerOf("mapping", Transform)),
        (list[pl.Callback] | pl.Callback, [], ContainerOf("sequence", pl.Callback)),
        (list[pl.Callback] | pl.Callback, {}, CALLBACK_REGISTRY),
        (Callable[[], Loss], {}, LOSS_REGISTRY),
        (ProgressSettings, {}, ProgressSettings),
        (int | None, 3, None),
        (dict[str, int], {}, None),
        (Model | str, "auto", None),  # a text may be plain here
        (Model | str, {"type": "MLP"}, MODEL_REGISTRY),
        (Model, 3, MODEL_REGISTRY),  # a value of the wrong form, which the registry's check reports
        (Model | int, 3, None),
    ],
)
def test_resolve_annotation(annotation: Any, value: Any, target: Any) -> None:
    assert resolve_annotation(annotation, value) == target


def test_one_dataset_or_visual_may_be_given_in_place_of_several() -> None:
    assert ContainerOf("mapping", Callable[[], Loss]).accepts_single
    assert ContainerOf("mapping", VisualTerm).accepts_single
    assert not ContainerOf("mapping", LossTerm).accepts_single


def test_callable_without_arguments_is_a_plain_value() -> None:
    """Such as `BackboneFinetuning(lambda_func: Callable)`."""
    assert resolve_annotation(parameters_of(BackboneFinetuning)["lambda_func"].annotation, "a.b") is None
    assert resolve_annotation(Callable, {}) is None


def test_union_members_are_flat() -> None:
    assert list(union_members(int | (str | None))) == [int, str, type(None)]
    assert list(union_members(int)) == [int]


def test_component_field_of_terms_only() -> None:
    assert component_field(LossTerm) == "loss"
    assert component_field(ProgressSettings) is None
    assert component_field(Derived) is None


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int | null"),
        (Literal["min", "max"], "min | max"),
        (Model, "a model"),
        (LossTerm | None, "a loss | null"),
        (dict[str, Transform], "a transform, or several by name"),
        (list[pl.Callback] | None, "a callback, or several | null"),
        (Sequence[float], "Sequence[float]"),
        (torch.optim.Optimizer, "an optimizer"),
        (torch.Tensor | float, "Tensor | float"),
    ],
)
def test_describe_type(annotation: Any, text: str) -> None:
    assert describe_type(annotation) == text


def test_choices_of_literals() -> None:
    assert choices(Literal["min", "max"] | None) == ["min", "max"]
    assert choices(int | Literal[1, 2]) == ["1", "2"]
    assert choices(str) == []

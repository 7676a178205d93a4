"""Postponed annotations (`from __future__ import annotations`) keep their bounds."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest
from annotated_types import Gt, Interval
from torch import nn

from project.core.config.annotations import parameters_of
from project.core.functions import class_of

if TYPE_CHECKING:
    from pathlib import PurePath

Fraction = Annotated[float, Interval(ge=0, lt=1)]


class Base:
    def __init__(self, width: Annotated[int, Gt(0)], path: PurePath | None = None) -> None: ...


class Derived(Base):
    def __init__(self, parts: list[Fraction], depth: Optional[Fraction] = None, **kwargs: Any) -> None:  # noqa: UP045
        super().__init__(**kwargs)


@dataclass
class Group:
    width: Annotated[int, Gt(0)] = 1


def build(width: Annotated[int, Gt(0)], **kwargs: Any) -> nn.Module:
    return nn.Linear(width, width)


@pytest.mark.parametrize("get_class", [lambda: Derived, lambda: Group, lambda: class_of(build, nn.Module)])
def test_bounds_are_those_of_the_annotation(get_class: Callable[[], type]) -> None:
    """jsonargparse drops them, so that a width of -3 built a net."""
    assert parameters_of(get_class())["width"].annotation == Annotated[int, Gt(0)]


def test_bounds_inside_other_annotations_are_kept() -> None:
    parameters = parameters_of(Derived)
    assert parameters["parts"].annotation == list[Fraction]
    assert parameters["depth"].annotation == Optional[Fraction]  # noqa: UP045


def test_name_for_type_checkers_alone_is_found_as_before() -> None:
    assert parameters_of(Derived)["path"].annotation == pathlib.PurePath | None

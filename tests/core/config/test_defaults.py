"""A default of a constructor stays as it is: on the first run, and on a run that repeats its config.yaml."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional, TypeVar
from typing import Callable as OldCallable  # noqa: UP035  # as in older code

import numpy as np
import pytest
import torch
from annotated_types import Ge
from jsonargparse import ArgumentParser
from torch import Tensor, nn
from torch.nn import functional as F

from project.core.config.annotations import Parameter
from project.core.config.defaults import OMITTED, plain_default, repeats_default
from project.core.config.entries import EntryConverter
from project.core.config.yaml_files import dump_yaml, parse_untyped, parse_yaml
from project.core.errors import ConfigError
from project.models.base import Model


class Size(Enum):
    """Sizes, with numbers as values."""

    SMALL = 8


class Reduction(StrEnum):
    """Reductions, which are texts as well."""

    MEAN = "mean"


class Level(IntEnum):
    """Levels, which are numbers as well."""

    LOW = 1


class Point(NamedTuple):
    """Point."""

    x: int = 1
    y: float = 2.0


@dataclass
class Options:
    """Group of settings."""

    depth: int = 2
    names: list[str] = field(default_factory=list)
    total: int = field(default=0, init=False)


class Plain:
    """Class that is no component."""


def double(value: float) -> float:
    """Return twice the value."""
    return 2 * value


T = TypeVar("T", bound=int)
UNTYPED = object()
SENTINEL = object()
# By name: annotation, default, and what config.yaml contains.
DEFAULTS: dict[str, tuple[Any, Any, Any]] = {
    "NumpyInteger": (int, np.int64(16), 16),
    "NumpyFloat": (float, np.float64(0.5), 0.5),
    "NumpyFloat32": (float | None, np.float32(0.1), float(np.float32(0.1))),
    "NumpyText": (str, np.str_("a"), "a"),
    "NumpyTuple": (tuple[int, int], (np.int64(1), np.int64(2)), [1, 2]),
    "TextAsNumber": (int, "auto", "auto"),
    "NumberAsText": (str, 3, 3),
    "FalseAsText": (str, False, False),
    "NoneAsNumber": (float, None, None),
    "IntegerAsFloat": (float | int, 3, 3),
    "Nan": (float, float("nan"), float("nan")),
    "TupleAsList": (list[int], (1, 2), [1, 2]),
    "Member": (Size, Size.SMALL, "SMALL"),
    "OptionalMember": (Size | None, Size.SMALL, "SMALL"),
    "MemberOrText": (Reduction | str, Reduction.MEAN, "MEAN"),
    "TextOrMember": (str | Reduction, Reduction.MEAN, "mean"),
    "MemberAsText": (str, Reduction.MEAN, "mean"),
    "MemberAsNumber": (int, Level.LOW, 1),
    "MemberWithoutText": (str | Size, Size.SMALL, OMITTED),
    "UntypedMember": (UNTYPED, Size.SMALL, OMITTED),
    "Members": (list[Size], [Size.SMALL], OMITTED),
    "Dtype": (torch.dtype, torch.float32, "torch.float32"),
    "Device": (torch.device, torch.device("cpu"), OMITTED),
    "Range": (Sequence[int], range(3), OMITTED),
    "Set": (set[int], {1, 2}, OMITTED),
    "Bytes": (bytes, b"a", OMITTED),
    "Number": (Decimal, Decimal("0.5"), OMITTED),
    "File": (Path, Path("a/b"), "a/b"),
    "BareCallable": (Callable, double, f"{__name__}.double"),
    "OldBareCallable": (OldCallable, double, f"{__name__}.double"),
    "NoCallable": (Optional[OldCallable], None, None),  # noqa: UP045  # as in older code
    "TypedCallable": (Callable[[Tensor], Tensor], F.relu, "torch.nn.functional.relu"),
    "Lambda": (Callable, lambda x: x, OMITTED),
    "Partial": (Callable[..., nn.Module], partial(nn.LayerNorm, 2), OMITTED),
    "NeedsArguments": (Callable[..., nn.Module], nn.LayerNorm, "torch.nn.modules.normalization.LayerNorm"),
    "Factory": (Callable[[], nn.Module], nn.ReLU, "torch.nn.modules.activation.ReLU"),
    "TextOrCallable": (str | Callable, F.relu, "torch.nn.functional.relu"),
    "Class": (type[nn.Module], nn.LayerNorm, "torch.nn.modules.normalization.LayerNorm"),
    "Built": (nn.Module, nn.ReLU(), OMITTED),
    "BuiltTuple": (Sequence[nn.Module], (nn.ReLU(),), OMITTED),
    "Weights": (Tensor, torch.ones(3), OMITTED),
    "NoGenerator": (torch.Generator | None, None, None),
    "Generator": (random.Random, random.Random(0), OMITTED),
    "IntegerKeys": (dict[int, str], {1: "a"}, {1: "a"}),
    "Functions": (dict[str, Callable[..., Any]], {"a": double}, {"a": f"{__name__}.double"}),
    "Tuples": (UNTYPED, {"a": (1, 2)}, {"a": [1, 2]}),
    "Named": (Point, Point(3, 4.0), [3, 4.0]),
    "Object": (Plain, Plain(), OMITTED),
    "Sentinel": (int, SENTINEL, OMITTED),
    "Anything": (Any, SENTINEL, OMITTED),
    "Forward": ("int", 3, 3),
    "Unresolved": ("Nowhere | None", None, None),
    "Variable": (T, 3, 3),
    "Nested": (Sequence[Sequence[int]], ((1, 2), (3,)), [[1, 2], [3]]),
}


def make_component(name: str, annotation: Any, default: Any) -> type:
    """Return a net with an argument `value`, as a class of this module."""

    def init(self: Any, value: Any) -> None:
        Model.__init__(self)
        self.value = value

    init.__annotations__ = {} if annotation is UNTYPED else {"value": annotation}
    init.__defaults__ = (default,)
    cls = type(name, (Model,), {"__init__": init, "__module__": __name__, "forward": lambda self: {}})
    globals()[name] = cls
    return cls


def build(entry: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the net of an entry, and the entry in config.yaml."""
    expanded = EntryConverter().expand(entry, Model, "net")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--net", type=Model)
    namespace = parser.parse_object({"net": expanded}, defaults=False)
    saved = dump_yaml(EntryConverter().collapse(expanded, Model))
    return parser.instantiate_classes(namespace).net, parse_yaml(saved, "config.yaml")


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_stays_as_it_is_on_a_first_and_on_a_repeated_run(name: str) -> None:
    annotation, default, plain = DEFAULTS[name]
    make_component(name, annotation, default)
    net, saved = build({"type": f"{__name__}.{name}"})
    assert net.value is default
    assert repr(saved.get("value", OMITTED)) == repr(plain)
    repeated, again = build(saved)
    assert repeated.value is default
    assert repr(again) == repr(saved)


def test_group_of_settings_keeps_the_values_of_its_default() -> None:
    make_component("Group", Options, Options(5, ["a"]))
    net, saved = build({"type": f"{__name__}.Group"})
    assert net.value == Options(5, ["a"])
    assert saved["value"] == {"depth": 5, "names": ["a"]}
    assert build({"type": f"{__name__}.Group", "value": {"depth": 2}})[0].value == Options(2, ["a"])
    assert build(saved)[0].value == Options(5, ["a"])


def test_default_that_cannot_be_compared_is_refused() -> None:
    make_component("Array", np.ndarray, np.ones(2))
    with pytest.raises(ConfigError) as caught:
        build({"type": f"{__name__}.Array"})
    assert str(caught.value) == (
        "net (Array): the default of 'value' is of type ndarray, which is not supported; make None the default, and "
        "build the value in the constructor"
    )


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        (f"{__name__}.double", Callable, double),
        (f"{__name__}.double", Optional[OldCallable], double),  # noqa: UP045
        ("torch.nn.BatchNorm2d", type[nn.Module], nn.BatchNorm2d),
        ("[3, 4]", Point, Point(3, 4)),
        ("[1, 2]", Sequence[int], [1, 2]),
        ("SMALL", Size, Size.SMALL),
        ("MEAN", Reduction | str, Reduction.MEAN),
        ("mean", str | Reduction, "mean"),
        ("{depth: 3}", Options | None, Options(3)),
        ("8", "int", 8),
    ],
)
def test_given_value_replaces_the_default(text: str, annotation: Any, value: Any) -> None:
    make_component("Given", annotation, None)
    assert build({"type": f"{__name__}.Given", "value": parse_untyped(text, "here")})[0].value == value


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (float("nan"), float("nan"), True),
        (0, 0, True),
        (0, False, False),
        (1, 1.0, False),
        ("SMALL", Size.SMALL, True),
        (0, 1, False),
        ("x", None, False),
        ([0], [0], True),
        ([0], [0, 1], False),
        ("torch.nn.LayerNorm", nn.LayerNorm, True),
        ("torch.nn.ReLU", nn.LayerNorm, False),
    ],
)
def test_repeats_default(value: Any, default: Any, expected: bool) -> None:
    assert repeats_default(value, Parameter(Any, required=False, default=default)) is expected


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(float, True), (float | None, True), (int | float, False), (Annotated[int, Ge(0)] | float | None, False)],
)
def test_integer_is_not_a_float_where_both_are_accepted(annotation: Any, expected: bool) -> None:
    """One batch is not all batches."""
    assert repeats_default(1, Parameter(annotation, required=False, default=1.0)) is expected
    assert repeats_default(1.0, Parameter(annotation, required=False, default=1)) is expected


def test_required_argument_has_no_default() -> None:
    parameter = Parameter(int, required=True, default=3)
    assert plain_default(parameter) is OMITTED
    assert not repeats_default(3, parameter)

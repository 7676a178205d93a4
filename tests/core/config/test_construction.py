"""An error in a constructor is told with the config path of its component, however jsonargparse reports it."""

from collections.abc import Callable
from typing import Any

import pytest
from jsonargparse import ArgumentParser
from torch import nn

from project.core.config.configuration import Config, build_config
from project.core.config.construction import Component, raising_constructor_errors
from project.core.config.entries import EntryConverter
from project.core.errors import ConfigError
from project.models.base import Model
from project.registry import Dataset
from tests.components import MLP
from tests.conftest import TINY


class Checked(nn.Module):
    """Module of a library that refuses some arguments."""

    def __init__(self, heads: int = 1, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, heads)


def build(entries: list[dict[str, Any]]) -> Any:
    """Build nets."""
    converter, annotation = EntryConverter(), list[Model] | None
    expanded = converter.expand(entries, annotation, "nets")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--nets", type=annotation)
    with raising_constructor_errors(converter.components):
        return parser.instantiate_classes(parser.parse_object({"nets": expanded}, defaults=False)).nets


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_path_is_that_of_the_component_with_the_refused_arguments(bad: int) -> None:
    sizes: dict[str, Any] = {"in_channels": 4, "out_channels": 4, "kernel_size": 1}
    entries = [{"type": "torch.nn.Conv2d", "groups": groups} | sizes for groups in (1, 2, 4)]
    assert len(build(entries)) == 3
    entries[bad]["groups"] = 3
    with pytest.raises(ConfigError) as caught:
        build(entries)
    assert str(caught.value) == f"nets.{bad} (Conv2d): in_channels must be divisible by groups"


def test_own_error_is_raised_itself_with_its_location() -> None:
    entry = {"type": f"{__name__}.Checked", "inner": {"type": f"{__name__}.Checked", "heads": 3}}
    with pytest.raises(AssertionError, match="embed_dim must be divisible") as caught:
        build([entry])
    assert caught.value.__notes__ == ["raised in nets.0.inner (Checked), while it was built"]


def test_message_of_several_lines_names_argument_and_class() -> None:
    """jsonargparse words what it refuses over several lines, of which the first says nothing."""
    config = build_config({key: value for key, value in TINY.items() if key != "base"})
    error = TypeError(
        "Parser key \"model.net.net\":\n  Problem with given class_path 'tests.components.MLP':\n"
        '    Parser key "hidden":\n      Does not validate against any of the Union subtypes\n      Subtypes: [int]\n'
        "      Errors:\n        - Expected a <class 'int'>\n        - Expected a None\n"
        "      Given value type: <class 'str'>\n      Given value: x"
    )
    assert str(config._explain(error)) == "model.net.hidden (MLP): Expected a <class 'int'>; Expected a None"
    foreign = Config({}, config.model_class, config.data_class, {}, [Component("model.net", MLP, {})])
    assert str(foreign._explain(TypeError('Parser key "trainer.x":\n  It is wrong'))) == "trainer.x: It is wrong"


class Outer:
    """Dataset that takes others."""

    def __init__(self, parts: list[Dataset], made: Callable[[], Dataset]) -> None:
        BUILT.append("outer")
        self.parts, self.own = parts, made()

    def __getitem__(self, index: int) -> object:
        return self.parts[index]


class Inner:
    """Dataset that takes nothing."""

    def __init__(self, number: int) -> None:
        BUILT.append(number)

    def __getitem__(self, index: int) -> object:
        return index


class Holder:
    """Class that is built at once and takes a dataset, such as a data module of the user's own."""

    def __init__(self, dataset: Dataset | None, later: Callable[[], Dataset]) -> None:
        self.dataset, self.later = dataset, later


BUILT: list[object] = []


def test_dataset_inside_another_is_built_with_it() -> None:
    """A stage needs the files of no other stage's datasets. What is built at once gets its datasets at once."""
    BUILT.clear()

    def inner(number: int) -> dict[str, Any]:
        return {"type": f"{__name__}.Inner", "number": number}

    def outer(*parts: dict[str, Any]) -> dict[str, Any]:
        return {"type": f"{__name__}.Outer", "parts": [*parts], "made": inner(0)}

    converter, annotations = EntryConverter(), {"dataset": Dataset | None, "later": Callable[[], Dataset]}
    values = {"dataset": inner(1), "later": outer(inner(2), outer(inner(3)))}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Holder, "holder")
    expanded = {key: converter.expand(value, annotations[key], key) for key, value in values.items()}
    with raising_constructor_errors(converter.components):
        holder = parser.instantiate_classes(parser.parse_object({"holder": expanded}, defaults=False)).holder
    assert isinstance(holder.dataset, Inner)
    assert BUILT == [1]
    built = holder.later()
    assert BUILT == [1, 2, 3, "outer", 0, "outer", 0]
    assert [type(part) for part in built.parts] == [Inner, Outer]

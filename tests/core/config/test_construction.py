"""An error in a constructor is told with the config path of its component, however jsonargparse reports it."""

from typing import Any

import pytest
from jsonargparse import ArgumentParser
from torch import nn

from project.core.config.configuration import Config, build_config
from project.core.config.construction import Component, raising_constructor_errors
from project.core.config.entries import EntryConverter
from project.core.errors import ConfigError
from project.models.base import Model
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

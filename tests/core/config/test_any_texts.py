"""A quoted text stays a text, whatever the annotation, in the constructor and in config.yaml, which repeats the run."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from project.core.cli.building import PartCLI
from project.core.config.any_texts import KeptText, keep_texts
from project.core.config.configuration import build_config
from project.core.config.yaml_files import parse_untyped
from tests.conftest import Cli

TEXTS = ["010", "5", "1e3", "true", "null", "12:30", "[1, 2]", "{a: 1}", "0x1F"]


class Recorder(nn.Module):
    """Net that keeps its arguments."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        anything: Any = None,
        unannotated=None,
        union: Any | None = None,
        items: list[Any] | None = None,
        nested: dict[str, list[Any]] | None = None,
        unique: set[Any] | None = None,
        text: str = "",
        texts: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.given = {key: value for key, value in locals().items() if key not in ("self", "__class__")}


@pytest.mark.parametrize("text", ["010", "1e3"])
def test_text_is_a_text_for_the_constructor_and_in_config_yaml(text: str, cli: Cli, tiny: Callable[..., str]) -> None:
    """jsonargparse reads it as a number, a list, ..., also what it dumped itself, such as 1e3 of a `str`."""
    given: dict[str, Any] = dict.fromkeys(("anything", "unannotated", "union", "text"), text)
    given |= {"items": [*TEXTS, 5], "nested": {"a": TEXTS}, "unique": TEXTS, "texts": {each: each for each in TEXTS}}
    net = {"type": f"{__name__}.Recorder"} | given
    ran = cli("fit", "--config", tiny(), "--model.net", json.dumps(net), "--print_config")
    assert (ran.code, ran.err) == (0, "")
    printed = parse_untyped(ran.out, "printed")
    for tree in (net, printed["model"]["net"]):
        model = {"net": tree, "loss": {"a": {"type": "L1Loss"}}, "optimizer": {"type": "SGD", "lr": 0.1}}
        built = PartCLI(build_config({"name": "n", "data": {"train": None}, "model": model}), "model").model.net
        assert built.given == given | {"unique": {*TEXTS}}
        assert type(built.given["anything"]) is type(built.given["items"][0]) is str
        assert {type(each) for each in built.given["unique"]} == {str}


def test_texts_of_a_typed_container_are_left_to_jsonargparse() -> None:
    assert type(keep_texts("math.sqrt", Callable[..., Any])) is str
    assert type(keep_texts("math.sqrt", type[Any] | None)) is str
    assert type(keep_texts(["5"], list[str])[0]) is str
    assert type(keep_texts("5", Any)) is KeptText

"""Each tensor of a file becomes that of the module which has its name, whatever other programs added to the names."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from project.core.errors import ConfigError
from project.core.run.weights import match_weights, named_weights, names_in, rename_keys, weights_in

A, B = torch.zeros(1), torch.ones(2)


class Module(nn.Module):
    """Module with a net, and with a tensor of its own that is called like one of the net."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("weight", torch.tensor(5.0))


@pytest.mark.parametrize(
    "prefix", ["", "net.", "module.", "module.net.", "_orig_mod.", "net._orig_mod.", "module._orig_mod.", "net.module."]
)
def test_names_that_other_programs_write_are_found(prefix: str) -> None:
    own = Module(nn.Linear(2, 3)).state_dict()
    found = names_in(own, [f"{prefix}weight", f"{prefix}bias"])
    expected = {} if prefix == "net.module." else {f"{prefix}{name}": f"net.{name}" for name in ("weight", "bias")}
    assert found == expected


def test_names_with_and_without_prefix_can_be_mixed() -> None:
    """As after a `rename` that writes `net.` before some names."""
    own = {"net.stem.weight": A, "net.head.weight": A}
    assert names_in(own, ["net.stem.weight", "head.weight"]) == {
        "net.stem.weight": "net.stem.weight",
        "head.weight": "net.head.weight",
    }


def test_rename_ignores_what_other_programs_add() -> None:
    """An expression for the start of a name need not know of DistributedDataParallel, but may."""
    for start in ("^backbone", "^module.backbone"):
        assert list(rename_keys({"module.backbone.a": A, "module.b": A}, {start: "net"}, "x")) == ["net.a", "module.b"]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"a": A}, ["a"]),
        ({"state_dict": {"a": A}, "epoch": 3, "optimizer_states": [{"state": {0: {"b": B}}}]}, ["a"]),
        ({"model": {"a": A}, "ema": {"b": B}}, ["a"]),
        ({"model": {"state_dict": {"a": A}}}, ["a"]),
        ({"params": {"a": A}, "iter": 5, "optimizer": {"state": {0: {"b": B}}}}, ["a"]),
        ({"generator": {"a": A}, "discriminator": {"a": B}}, ["generator.a", "discriminator.a"]),
        ([A], []),
        ({3: A, "x": 3}, []),
        (None, []),
    ],
)
def test_weights_are_found_in_containers(content: Any, names: list[str]) -> None:
    assert list(weights_in(content)) == names


def test_dict_in_itself_is_refused() -> None:
    content: dict[str, Any] = {}
    content["inner"] = content
    with pytest.raises(ConfigError, match="file contains no weights: its dicts are nested too deeply"):
        named_weights(Path("file"), content)


def test_rename_applies_expressions_in_order() -> None:
    weights = {"backbone.1.w": A, "head.w": B}
    renamed = rename_keys(weights, {r"^backbone\.": "net.body.", r"body\.(\d)": r"layer\1", "^head": "net.head"}, "x")
    assert renamed == {"net.layer1.w": A, "net.head.w": B}


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"(": ""}, r"^x.rename: '\(': '' is not valid: "),
        ({"a": r"\2"}, r"^x.rename: 'a': .* is not valid: "),
        ({"a": "c", "^c$": "d", "e": "f"}, r"^x.rename: 'e' matches none of the names in the file: a "),
        ({"^.": "c"}, r"^x.rename gives two tensors the name 'c', the second is 'b'$"),
    ],
)
def test_wrong_rename_is_refused(rename: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rename_keys({"a": A, "b": B}, rename, "x")


def test_lazy_tensors_fit_any_shape() -> None:
    """Their shapes are known only after the first batch."""
    module = nn.LazyLinear(3)
    match = match_weights(nn.Linear(2, 3).state_dict(), module)
    assert match.describe_problem() == ""
    module.load_state_dict(match.loaded, strict=False)
    assert module.weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("weights", "problem", "remedy"),
    [
        (
            {"enc.fc.weight": torch.zeros(3, 2), "enc.fc.bias": torch.zeros(3)},
            "in the file: enc.fc.weight (3, 2), enc.fc.bias (3,); in the model: net.fc.weight (3, 2), net.fc.bias (3,)",
            r"Perhaps set x.rename: {'^enc\.': 'net.'}, or x.strict: false",
        ),
        (
            {"fc.weight": torch.zeros(3, 2)},
            "in the file: none; in the model: net.fc.bias (3,)",
            "Set x.rename, x.skip, or x.strict: false",
        ),
        (
            {"fc.weight": torch.zeros(4, 2), "fc.bias": torch.zeros(4)},
            "net.fc.weight is (4, 2) in the file and (3, 2) in the model, and 1 more differ",
            "To keep the initial values of the model, set x.skip: ['net.fc.*']",
        ),
    ],
)
def test_what_does_not_fit_is_described(weights: dict[str, Tensor], problem: str, remedy: str) -> None:
    match = match_weights(weights, Module(nn.ModuleDict({"fc": nn.Linear(2, 3)})))
    assert (match.describe_problem(), match.describe_remedy("x")) == (problem, remedy)


@pytest.mark.parametrize(
    ("names", "rename"),
    [
        (("module.enc.0", "module.cls"), r"{'^enc\.': 'net.body.', '^cls\.': 'net.head.'}"),  # needs no `module.`
        (("enc.0",), r"{'^enc\.': 'net.body.'} and others"),
    ],
)
def test_all_prefixes_of_a_rename_are_suggested(names: tuple[str, ...], rename: str) -> None:
    """The whole suggestion makes the file fit."""
    module = Module(nn.ModuleDict({"body": nn.Sequential(nn.Linear(2, 3)), "head": nn.Linear(3, 4)}))
    layers = [nn.Linear(2, 3), nn.Linear(3, 4)]
    weights = {
        f"{name}.{key}": item
        for name, layer in zip(names, layers, strict=False)
        for key, item in layer.state_dict().items()
    }
    remedy = match_weights(weights, module).describe_remedy("x")
    assert remedy == f"Perhaps set x.rename: {rename}, or x.strict: false"
    suggested = yaml.safe_load(rename.removesuffix(" and others"))
    assert match_weights(rename_keys(weights, suggested, "x"), module).unused == {}


@pytest.mark.parametrize("pattern", ["net.fc.*", "fc.*", "net.fc.bias"])
def test_skipped_tensors_are_neither_loaded_nor_missed(pattern: str) -> None:
    module = Module(nn.ModuleDict({"fc": nn.Linear(2, 3)}))
    match = match_weights({"fc.weight": torch.zeros(3, 2), "fc.bias": torch.zeros(9)}, module, [pattern])
    assert match.describe_problem() == ""
    assert list(match.loaded) == (["net.fc.weight"] if pattern == "net.fc.bias" else [])

"""A function can be a type: its arguments are typed, config.yaml repeats it, and what it returns is checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
import yaml
from annotated_types import Gt
from torch import nn

from project.core import functions
from project.core.config import trust
from project.core.config.annotations import parameters_of
from project.core.config.entries import EntryConverter
from project.core.config.terms import NetTerm
from project.core.config.trust import SavedText, check_component
from project.core.errors import ConfigError
from project.core.functions import KEYWORDS, class_of
from project.registry import MODEL_REGISTRY, Model
from tests.components import MLP, Glyphs
from tests.conftest import Cli

HERE = __name__


def build_net(hidden: Annotated[int, Gt(0)], *, depth: "int | None" = None, **kwargs: Any) -> nn.Module:
    """Build a net.

    Args:
        hidden: its width.
        depth: not used.
    """
    return MLP(hidden=hidden, **kwargs)


def glyphs(split: Literal["train", "val"]) -> torch.utils.data.Dataset[Any] | None:
    return Glyphs(split)


def sgd(params: Any, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(params, lr)


def untyped(width):  # type: ignore[no-untyped-def]
    return nn.Linear(width, width)


def number() -> int:
    return 3


def unknown() -> "Unknown":  # type: ignore[name-defined]  # noqa: F821
    return nn.Identity()


def untrue() -> MLP:
    return nn.Identity()  # type: ignore[return-value]


def test_arguments_are_those_of_the_function() -> None:
    parameters = parameters_of(MODEL_REGISTRY.resolve(f"{HERE}.build_net", "net"))
    assert list(parameters) == ["hidden", "depth", KEYWORDS]
    assert (parameters["hidden"].annotation, parameters["hidden"].doc) == (Annotated[int, Gt(0)], "its width.")
    assert (parameters["depth"].annotation, parameters["depth"].default) == (int | None, None)


def test_entry_of_a_function_is_converted_and_back() -> None:
    """Arguments that the function takes as **kwargs are beside the others, also those that a reserved key hides."""
    converter = EntryConverter()
    entry = {"type": f"{HERE}.build_net", "hidden": 8, "num_classes": 3, "output": "y", "init": {"inputs": [1]}}
    expanded = converter.expand(entry, NetTerm, "model.net")
    arguments = {"hidden": 8, KEYWORDS: {"num_classes": 3, "inputs": [1]}}
    assert expanded["net"]["init_args"] == arguments
    assert [value.path for value in converter.plain_values] == [
        *("model.net.type", "model.net.hidden", "model.net.num_classes", "model.net.init.inputs", "model.net.output")
    ]
    assert converter.collapse(expanded, NetTerm) == entry | {"depth": None, "inputs": None}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (f"{HERE}.untyped", "the function untyped cannot be a model: it has no return annotation\n"),
        (f"{HERE}.number", "the function number cannot be a model: it returns <class 'int'>\n"),
        (f"{HERE}.unknown", "the function unknown cannot be a model: it returns 'Unknown'\n"),
        ("torch.add", "the function add cannot be a model: it has no return annotation\n"),
    ],
)
def test_function_that_returns_something_else_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MODEL_REGISTRY.resolve(name, "net")
    rest = "Its return annotation must derive from torch.nn.modules.module.Module"
    assert str(caught.value) == f"net: {problem}{rest}"


def test_registered_function_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODEL_REGISTRY, "_entries", dict(MODEL_REGISTRY._entries))

    assert MODEL_REGISTRY.register("built")(build_net) is build_net
    cls = MODEL_REGISTRY.resolve("Built", "net")
    assert issubclass(cls, Model)
    net = cls(hidden=4, keyword_arguments={"in_features": 2, "num_classes": 3})
    assert net.state_dict()["head.weight"].shape == (3, 4)


def test_function_can_be_defined_again() -> None:
    """As in a notebook; the new one counts."""

    def define(width: int) -> Callable[[], nn.Linear]:
        def build() -> nn.Linear:
            return nn.Linear(1, width)

        return build

    built = [class_of(define(width), nn.Linear) for width in (2, 3)]
    assert [cls().out_features for cls in built] == [2, 3]
    assert getattr(functions, built[1].__qualname__) is built[1]


def test_run_with_functions_repeats_them_in_its_config(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    net = {"type": f"{HERE}.build_net", "in_features": 64, "num_classes": 10, "hidden": 8}
    optimizer = {"type": f"{HERE}.sgd", "lr": 0.01}
    train = {"type": f"{HERE}.glyphs", "split": "train"}
    config = tiny({"model": {"net": net, "optimizer": optimizer}, "data": {"train": train, "val": None}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    recorded = yaml.safe_load((run / "config.yaml").read_text())
    assert recorded["model"]["net"] == net | {"depth": None, "inputs": None, "output": None}
    assert (recorded["model"]["optimizer"], recorded["data"]["train"]) == (optimizer, train)
    ran = cli("fit", "--resume", run, "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert "resuming with changed settings: trainer.max_epochs is 2, was 1\n" in ran.err


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"type": f"{HERE}.build_net", "hidden": 8, "dept": 3},
            "model.net (build_net): MLP.__init__() got an unexpected keyword argument 'dept'; did you mean 'depth'?",
        ),
        ({"type": f"{HERE}.build_net", "hidden": 0}, "model.net.hidden is 0; it takes int > 0"),
        ({"type": f"{HERE}.untrue"}, "model.net (untrue): returned a Identity; its return annotation is MLP"),
    ],
)
def test_mistakes_are_told(entry: dict[str, Any], message: str, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"model": {"net": entry}}))
    assert (ran.code, ran.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    ("name", "is_trusted"),
    [
        (f"{HERE}.build_net", True),  # of this package
        (f"{HERE}.untyped", False),
        (f"{HERE}.number", False),
        ("project.load", False),  # the engine's, which returns a module
        ("project.core.cli.building.load_module", False),
        ("torch.hub.load", False),
        ("subprocess.check_output", False),
    ],
)
def test_checkpoint_may_name_only_functions_of_the_package(
    name: str, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_PACKAGES", (*trust._PACKAGES, "tests"))
    check_component(name, MODEL_REGISTRY, "model.net")
    if is_trusted:
        check_component(SavedText(name), MODEL_REGISTRY, "model.net")
    else:
        with pytest.raises(ConfigError, match="the config saved in the checkpoint names"):
            check_component(SavedText(name), MODEL_REGISTRY, "model.net")


def test_checkpoint_may_not_name_the_class_of_a_function() -> None:
    """Else it could name a function that the user's own yaml names."""
    cls = MODEL_REGISTRY.resolve(f"{HERE}.build_net", "net")
    path = f"{cls.__module__}.{cls.__qualname__}"
    assert MODEL_REGISTRY.resolve(path, "net") is cls
    with pytest.raises(ConfigError, match="the config saved in the checkpoint names"):
        check_component(SavedText(path), MODEL_REGISTRY, "model.net")


def test_timm_builds_a_net(cli: Cli, tiny: Callable[..., str]) -> None:
    """Its function returns nn.Module, and takes most arguments as **kwargs."""
    pytest.importorskip("timm")
    net = {"type": "timm.create_model", "model_name": "resnet18", "num_classes": 10, "in_chans": 1}
    net |= {"inputs": {"x": "image"}, "output": "logits"}
    ran = cli("fit", "--config", tiny({"model": {"net": net}}))
    assert ran.code == 0, ran.err

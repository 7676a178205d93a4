"""Arguments of registered classes in the contract tests: their `example`, else usual values of the name."""

import inspect
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.config.annotations import parameters_of
from project.registry import Registry
from tests.datasets.balanced import BalancedGlyphs

BATCH = 4
ARGUMENTS: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "in_features": 3 * 32 * 32,
    "num_classes": 10,
    "size": 16,
    "split": "train",
    "mean": [0.5],
    "std": [0.25],
    "dataset": BalancedGlyphs("val"),
    "parts": [BalancedGlyphs("val"), BalancedGlyphs("test")],
    "fields": ["image", "label"],
    "k": 5,
    "fold": 0,
    "part": "val",
}


def tensors() -> dict[str, Tensor]:
    """Return a batch with the tensors that components usually take."""
    generator = torch.Generator().manual_seed(0)
    pictures = {name: torch.rand(BATCH, 3, 32, 32, generator=generator) for name in ("image", "prediction", "target")}
    logits = torch.randn(BATCH, 10, generator=generator)
    return pictures | {"logits": logits, "label": torch.randint(10, (BATCH,), generator=generator)}


def build(cls: Any, seed: int = 0) -> Any:
    """Build an instance of the class."""
    torch.manual_seed(seed)
    required = {name: parameter.required for name, parameter in parameters_of(cls).items()}
    return cls(**_known(cls, required, ARGUMENTS))


def inputs(owner: Any, method: str = "forward") -> dict[str, Tensor]:
    """Return the tensors that the parameters of a method name."""
    parameters = inspect.signature(getattr(owner, method)).parameters.values()
    named = [item for item in parameters if item.kind is not item.VAR_KEYWORD]
    required = {item.name: item.default is item.empty for item in named}
    return _known(type(owner), required, tensors())


def registered(registry: Registry, having: str = "__init__") -> list[Any]:
    """Return the registered classes of this package that have a method, as parameters of a test."""
    package = str(Registry.__module__).partition(".")[0]
    found = {name: registry.resolve(name, "here") for name in registry.names()}
    own = {name: cls for name, cls in found.items() if cls.__module__.partition(".")[0] == package}
    return [pytest.param(cls, id=name) for name, cls in own.items() if hasattr(cls, having)]


def _known(cls: Any, required: Mapping[str, bool], usual: Mapping[str, Any]) -> dict[str, Any]:
    example = getattr(cls, "example", {})
    known = {**usual, **example}
    for name in required:
        if required[name] and name not in known:
            pytest.fail(
                f"{cls.__name__}: '{name}' has no usual value: give it a default or declare example = {{'{name}': ...}}"
            )
    return {name: known[name] for name in required if required[name] or name in example}

"""A dataclass with a base that is none, as the configs of Hugging Face, is recorded in config.yaml as it was given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from project import load
from tests.components import MLP
from tests.conftest import Cli


class Mixin:
    """Base that is no dataclass, for which jsonargparse writes a `class_path`."""


@dataclass
class Size(Mixin):
    """Settings of a net."""

    hidden: int = 128
    depth: int = 1


class Sized(MLP):
    """Net whose settings are in one argument."""

    def __init__(self, size: Size) -> None:
        super().__init__(64, 10, hidden=size.hidden)


def test_dataclass_with_a_base_is_recorded(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    net = {"type": f"{__name__}.Sized", "size": {"hidden": 3}}
    ran = cli("fit", "--config", tiny({"model": {"net": net}}))
    assert ran.code == 0, ran.err
    config = yaml.safe_load((tmp_path / "experiments/tiny/config.yaml").read_text())
    assert config["model"]["net"]["size"] == {"hidden": 3, "depth": 1}
    weights = load("experiments/tiny", trust=True).state_dict().values()
    assert any(3 in weight.shape for weight in weights)

"""Each registered module and data module trains from the yaml, and a trained module can be loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project import load
from project.core.config.annotations import parameters_of
from project.registry import DATAMODULE_REGISTRY, MODULE_REGISTRY
from tests.conftest import TINY, Cli
from tests.contract.samples import registered


def settings(cls: Any, part: str) -> dict[str, Any]:
    """Return the settings of the tiny run, overridden by the `example` of the class."""
    usual = {name: value for name, value in TINY[part].items() if name in parameters_of(cls)}
    return {"type": f"{cls.__module__}.{cls.__qualname__}"} | usual | getattr(cls, "example", {})


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("cls", registered(MODULE_REGISTRY))
def test_modules_train_and_load(cls: Any, precision: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"model": settings(cls, "model")}), "--trainer.precision", precision)
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    loaded = load(tmp_path / "experiments/tiny").state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


@pytest.mark.parametrize("cls", registered(DATAMODULE_REGISTRY))
def test_data_modules_train(cls: Any, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"data": settings(cls, "data")}))
    assert ran.code == 0, ran.err

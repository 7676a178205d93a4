"""What the tests share."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.core.main import main
from project.registry import (
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    TRANSFORM_REGISTRY,
    VISUAL_REGISTRY,
)
from tests import rooms

CONFIGS = Path(__file__).parent.parent / "configs"

# A run that is over in a second: a tiny net, two steps, small sets.
TINY: dict[str, Any] = {
    "base": str(CONFIGS / "default.yaml"),
    "name": "tiny",
    "model": {
        "net": {"type": "tests.rooms.MLP", "in_features": 64, "num_classes": 10, "hidden": 8},
        "loss": {"cross_entropy": {"type": "tests.rooms.CrossEntropy"}},
        "metric": {"accuracy": {"type": "tests.rooms.Accuracy", "num_classes": 10}},
        "optimizer": {"type": "AdamW", "lr": 0.01},
    },
    "data": {
        "batch_size": 64,
        "train": {"type": "tests.rooms.Glyphs", "split": "train"},
        "val": {"type": "tests.rooms.Glyphs", "split": "val"},
        "eval": {"type": "tests.rooms.Glyphs", "split": "test"},
    },
    "trainer": {
        "max_epochs": 1,
        "limit_train_batches": 2,
        "num_sanity_val_steps": 0,
        "accelerator": "cpu",
        "enable_model_summary": False,
    },
}


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look at it again, which takes a tenth of the time."""
    gc.freeze()


@dataclass
class Ran:
    """What a call of the command line left."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Calls the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> Ran:
        capfd.readouterr()
        try:
            code = main([str(word) for word in argv])
        except SystemExit as exit:
            code = int(exit.code or 0)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def short_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rooms hold the classes of tests/rooms.py, by their names, and nothing of their owner's."""
    classes = {
        MODEL_REGISTRY: rooms.MLP,
        LOSS_REGISTRY: rooms.CrossEntropy,
        METRIC_REGISTRY: rooms.Accuracy,
        DATASET_REGISTRY: rooms.Glyphs,
        TRANSFORM_REGISTRY: rooms.RandomShift,
        VISUAL_REGISTRY: rooms.Row,
    }
    for registry, cls in classes.items():
        registry.names()  # imports what the owner has there: later, it would be registered here and then forgotten
        monkeypatch.setattr(registry, "_entries", {})
        monkeypatch.setattr(registry, "broken", {})
        registry.register()(cls)


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., str]:
    """Writes a yaml over TINY, and returns its path: `tiny({"model": {...}})`."""

    def write(over: dict[str, Any] | None = None, name: str = "tiny.yaml") -> str:
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"base": "base.yaml"} | (over or {}), sort_keys=False))
        return str(path)

    return write

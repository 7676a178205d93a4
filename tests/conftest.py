"""Fixtures shared by all tests."""

import atexit
import gc
import importlib.metadata
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Imports of torch are in the fixtures: the process that distributes the tests needs none.

# One thread per process, also in those that tests start: with more, workers on a few cores wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# One cache for all runs of the tests, so that they compute the numerics fingerprint once; not that of the user.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="tests-cache.")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

MAX_WORKERS = 8  # each takes about 700 MB

CHROMIUM = ("chromium", "google-chrome")
# A camera that shows a test picture, and may be used without asking anybody.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

# Tests that import packages of extras. Without these, as on a GPU machine, the other tests run.
_SERVER = ("fastapi", "uvicorn", "python_multipart", "onnx", "onnxruntime")
_NEEDED = {
    "core/export/test_exporting.py": ("onnx",),
    "deploy/server": _SERVER,
    "deploy/demo": (*_SERVER, "playwright"),
    "template/test_serve_page.py": _SERVER,
    "study/sweep/test_optuna_trials.py": ("optuna",),
    "study/sweep/test_search.py": ("optuna",),
}
_MISSING = {path: [name for name in names if find_spec(name) is None] for path, names in _NEEDED.items()}
collect_ignore = [path for path, names in _MISSING.items() if names]


def pytest_report_header() -> list[str]:
    """Say which tests are not collected."""
    return [f"not collected: tests/{path}, which needs {', '.join(_MISSING[path])}" for path in collect_ignore]


CONFIGS = Path(__file__).parent.parent / "configs"

# A run that takes a second: a tiny model, two steps, small datasets.
TINY: dict[str, Any] = {
    "base": str(CONFIGS / "default.yaml"),
    "name": "tiny",
    "model": {
        "net": {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10, "hidden": 8},
        "loss": {"cross_entropy": {"type": "tests.components.CrossEntropy"}},
        "metric": {"accuracy": {"type": "tests.components.Accuracy", "num_classes": 10}},
        "optimizer": {"type": "AdamW", "lr": 0.01},
    },
    "data": {
        "batch_size": 64,
        "train": {"type": "tests.components.Glyphs", "split": "train"},
        "val": {"type": "tests.components.Glyphs", "split": "val"},
        "eval": {"type": "tests.components.Glyphs", "split": "test"},
    },
    "trainer": {
        "max_epochs": 1,
        "limit_train_batches": 2,
        "num_sanity_val_steps": 0,
        "accelerator": "cpu",
        "enable_model_summary": False,
    },
}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Distribute the tests over the cores, unless `-n` is given.

    Stay in one process for single tests, where the user wants to see or debug it, and where slow tests are selected:
    these start several processes themselves, share a cluster, or measure time.
    """
    option = config.option
    if not config.pluginmanager.hasplugin("xdist") or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if option.numprocesses is None and option.dist == "no":
        serial = option.capture == "no" or all("::" in arg for arg in config.args)
        serial = serial or not all(f"not {mark}" in option.markexpr for mark in ("slow", "slurm"))
        option.numprocesses = 0 if serial else "auto"
        option.maxprocesses = option.maxprocesses or MAX_WORKERS
    if option.numprocesses and option.dist == "no":
        option.dist = "worksteal"  # neighbours share fixtures, and no worker is idle at the end


def pytest_collection_finish() -> None:
    """Speed up the tests: exclude imported objects from garbage collection, and compute some values once."""
    gc.freeze()
    gc.get_freeze_count = cache(gc.get_freeze_count)
    gc.get_freeze_count()  # each call of `main` asks for it, and 30 ms would count the objects one by one
    # loguru asks 36 times per sink, which is a tenth of the time of a tiny run.
    sysconfig.get_path = cache(sysconfig.get_path)  # type: ignore[assignment]


def pytest_configure() -> None:
    """Read what the installed packages announce once, not for each trainer.

    Lightning imports the function by name, so that this comes before the tests are collected.
    """
    importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # type: ignore[assignment]


def slow_except(values: Iterable[Any], *fast: Any) -> list[Any]:
    """Return parameters of a test, of which the default run takes only some; it is short of time."""
    return [value if value in fast else pytest.param(value, marks=pytest.mark.slow) for value in values]


@dataclass
class Ran:
    """Result of a call of the command line."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a function that calls the command line in this process, in an empty directory."""
    from project.core.cli.main import main

    monkeypatch.chdir(tmp_path)

    def call(*argv: str, **arguments: Any) -> Ran:
        capfd.readouterr()
        try:
            code = main([str(word) for word in argv], **arguments)
        except SystemExit as exit:
            code = int(exit.code or 0)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """Return the list of the messages that are logged during a test."""
    from loguru import logger

    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]))
    yield lines
    logger.remove(sink)


@pytest.fixture
def short_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registries hold the classes of tests/components.py and no others."""
    from project.registry import (
        DATASET_REGISTRY,
        LOSS_REGISTRY,
        METRIC_REGISTRY,
        MODEL_REGISTRY,
        TRANSFORM_REGISTRY,
        VISUAL_REGISTRY,
        Registry,
    )
    from tests import components

    classes = {
        MODEL_REGISTRY: components.MLP,
        LOSS_REGISTRY: components.CrossEntropy,
        METRIC_REGISTRY: components.Accuracy,
        DATASET_REGISTRY: components.Glyphs,
        TRANSFORM_REGISTRY: components.RandomShift,
        VISUAL_REGISTRY: components.Row,
    }
    monkeypatch.setattr(Registry, "_scans", lambda registry, cls: True)
    for registry, cls in classes.items():
        registry.names()  # import the owner's components now: if registered during the test, they are lost after it
        monkeypatch.setattr(registry, "_entries", {})
        monkeypatch.setattr(registry, "import_errors", {})
        registry.register()(cls)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Remove variables that a run sets, such as LOCAL_RANK: processes that later tests start would wait for others."""
    before = set(os.environ)
    yield
    for name in os.environ.keys() - before:
        del os.environ[name]


@pytest.fixture(autouse=True)
def own_components(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a checkpoint name the components of the tests, as it names those of the project."""
    if "cli" in request.fixturenames:
        from project.core.config import trust

        monkeypatch.setattr(trust, "_PACKAGES", (*trust._PACKAGES, "tests"))


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a yaml file based on TINY: `tiny({"model": {...}})` returns its path."""

    def write(over: dict[str, Any] | None = None, name: str = "tiny.yaml") -> str:
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"base": "base.yaml"} | (over or {}), sort_keys=False))
        return str(path)

    return write


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Start Chromium."""
    from playwright.sync_api import expect, sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:  # .ci/run installs it, and lets no test be skipped
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(CAMERA))
        expect.set_options(timeout=20_000)  # other tests may run at the same time
        yield chromium
        chromium.close()

"""A run with library versions in which a private name is missing: it warns, and has the same weights, or is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonargparse._parameter_resolvers
import pytest
import pytorch_lightning as pl
import torch
from loguru import logger
from torch import Tensor

from project.core.config.annotations import parameters_of
from project.core.errors import ConfigError
from project.core.model.module import BaseModule
from project.core.training import step_seeding
from project.core.training.lightning_internals import names
from project.core.training.lightning_internals.names import (
    PRIVATE_NAMES,
    Feature,
    check_available,
    check_private_names,
)
from tests.conftest import CONFIGS, Cli, slow_except
from tests.core.run.test_exact_resume import RANDOM

REPLAYS = Feature.REPLAYS  # which only the commands that replay need: they refuse without it
WARNED = [feature for feature in Feature if feature is not REPLAYS]
ALL_NAMES = [(feature, name) for feature in WARNED for name in PRIVATE_NAMES[feature]]


@pytest.fixture(autouse=True)
def nothing_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore after a test what the checks found."""
    monkeypatch.setattr(names, "_unavailable", set())


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Return the list of the warnings that are logged during a test."""
    messages: list[str] = []
    sink = logger.add(messages.append, level="WARNING", format="{message}")
    yield messages
    logger.remove(sink)


@pytest.fixture(scope="module")
def trainer() -> pl.Trainer:
    arguments: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(accelerator="cpu", **arguments)


def hide(monkeypatch: pytest.MonkeyPatch, feature: Feature, name: str | None = None) -> str:
    """Have the check look for a name that does not exist, instead of one of a feature's; return it."""
    name = name or PRIVATE_NAMES[feature][-1]
    missing = f"{name}_renamed"
    hidden = {feature: [missing if known == name else known for known in PRIVATE_NAMES[feature]]}
    monkeypatch.setattr(names, "PRIVATE_NAMES", {**PRIVATE_NAMES, **hidden})
    return missing


def test_installed_versions_have_all_names(trainer: pl.Trainer, warnings: list[str]) -> None:
    check_private_names(trainer, BaseModule())
    assert warnings == []
    assert names._unavailable == set()


@pytest.mark.parametrize(("feature", "name"), ALL_NAMES, ids=[f"{feature.name}-{name}" for feature, name in ALL_NAMES])
def test_missing_name_is_reported_with_what_is_lost(
    feature: Feature, name: str, trainer: pl.Trainer, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = hide(monkeypatch, feature, name)
    check_private_names(trainer, BaseModule())
    lost = f"the installed libraries do not have {missing}: {feature.value}; install the versions of constraints.txt\n"
    assert warnings == [lost]
    assert names._unavailable == {feature}


def test_missing_names_of_replays_are_refused_where_they_are_needed(
    trainer: pl.Trainer, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training loses nothing, and says nothing."""
    check_private_names(trainer, BaseModule())
    check_available(REPLAYS)
    missing = hide(monkeypatch, REPLAYS)
    check_private_names(trainer, BaseModule())
    assert (warnings, names._unavailable) == ([], {REPLAYS})
    with pytest.raises(ConfigError, match=f"^the installed libraries do not have all of .*{missing}: no step can be"):
        check_available(Feature.SIGNALS, REPLAYS)


def test_missing_states_of_metrics_are_refused_with_several_processes(
    trainer: pl.Trainer, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = hide(monkeypatch, Feature.METRIC_STATES)
    monkeypatch.setattr(pl.Trainer, "num_devices", 2)
    message = (
        f"^the installed libraries do not have {missing}: metrics cannot be gathered from several processes\n"
        "Install the versions of constraints.txt, or set trainer.devices to 1$"
    )
    with pytest.raises(ConfigError, match=message):
        check_private_names(trainer, BaseModule())
    assert warnings == []


def test_missing_signatures_are_refused(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(jsonargparse._parameter_resolvers, "get_signature_parameters")
    parameters_of.cache_clear()  # of the tests before
    ran = cli("fit", "--config", tiny())
    assert ran.code == 2
    message = f"error: jsonargparse {jsonargparse.__version__} is not supported; install the version of constraints.txt"
    assert ran.err.splitlines() == [message]
    assert not (tmp_path / "experiments").exists()


def weights(run: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return state


def metrics(run: Path) -> dict[str, float]:
    values: dict[str, float] = json.loads((run / "eval/test/metrics.json").read_text())
    return values


def assert_equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize(
    "feature",
    slow_except(WARNED, Feature.EXACT_LOOPS, Feature.FAST_STEPS),
    ids=[feature.name for feature in WARNED],
)
def test_run_without_a_feature_has_the_same_weights_and_can_be_resumed(
    feature: Feature, cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The net has dropout, and the samples are random, so that all seeds matter."""
    config = tiny(RANDOM)
    assert cli("fit", "--config", config, "--name", "normal").code == 0
    assert cli("test", "--ckpt_path", "experiments/normal").code == 0
    normal, run = tmp_path / "experiments/normal", tmp_path / "experiments/tiny"

    missing = hide(monkeypatch, feature)
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert ran.err.count(f"the installed libraries do not have {missing}: {feature.value}") == 1
    assert_equal(weights(run), weights(normal))
    saved = sorted(path.name for path in (run / "checkpoints").glob("epoch*"))
    assert saved == [f"epoch_{(step - 1) // 5:04d}_step_{step:06d}.ckpt" for step in range(1, 11)]
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    assert metrics(run) == metrics(normal)

    for step, epoch in ((3, 0), (5, 0)):  # within an epoch, and at its end
        shutil.copytree(run, tmp_path / "experiments/resumed")
        checkpoint = tmp_path / f"experiments/resumed/checkpoints/epoch_{epoch:04d}_step_{step:06d}.ckpt"
        ran = cli("fit", "--resume", str(checkpoint))
        assert ran.code == 0, ran.err
        resumed = torch.load(checkpoint.parent / "last.ckpt", weights_only=True)
        assert (resumed["global_step"], resumed["epoch"]) == (10, 1)
        if feature is not Feature.EXACT_LOOPS:
            assert_equal(resumed["state_dict"], weights(normal))
        shutil.rmtree(tmp_path / "experiments/resumed")


def test_hooks_seed_the_same_positions_as_fetches(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeded: list[tuple[Any, ...]] = []
    monkeypatch.setattr(step_seeding, "seed_step", lambda trainer, *parts: seeded.append(parts))
    datasets = {"a": {"type": "tests.core.random_components.Noisy", "length": 20}, "type": None}
    data = RANDOM["data"] | {"val": datasets | {"b": datasets["a"]}, "eval": datasets | {"b": datasets["a"]}}
    config = tiny(RANDOM | {"data": data, "checkpoint": {"monitor": "val/a/sum"}})

    def all_stages(name: str) -> list[tuple[Any, ...]]:
        seeded.clear()
        assert cli("fit", "--config", config, "--name", name).code == 0
        for stage in ("validate", "test", "predict"):
            assert cli(stage, "--ckpt_path", f"experiments/{name}").code == 0
        return [*seeded]

    fetches = all_stages("fetches")
    hide(monkeypatch, Feature.STEP_SEEDS)
    assert all_stages("hooks") == fetches
    steps = [parts[1:] for parts in fetches if len(parts) == 3]
    assert [number for stage, number in steps if stage == "train"] == list(range(10))
    assert [number for stage, number in steps if stage == "eval"] == [0, 1, 2, 3, 4, 5]
    assert [stage for stage, _ in steps].count("predict") == 6


def test_signal_stops_a_run_of_lightnings_own_loops(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, Feature.EXACT_LOOPS)
    strike = {"type": "tests.core.random_components.Strike", "hook": "on_train_batch_start", "count": 4}
    config = tiny(RANDOM | {"trainer": RANDOM["trainer"] | {"callbacks": [strike | {"what": "SIGTERM"}]}})
    ran = cli("fit", "--config", config)
    assert ran.code == 75, ran.err
    run = tmp_path / "experiments/tiny"
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 10


def test_lightnings_own_loops_save_at_the_end_of_each_epoch(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, Feature.EXACT_LOOPS)
    config = tiny({"trainer": {"max_epochs": 2, "limit_train_batches": 4}})
    assert cli("fit", "--config", config).code == 0
    directory = tmp_path / "experiments/tiny/checkpoints"
    first, second = "epoch_0000_step_000004.ckpt", "epoch_0001_step_000008.ckpt"
    assert sorted(path.name for path in directory.iterdir()) == ["best.ckpt", first, second, "last.ckpt"]
    assert (directory / "best.ckpt").samefile(directory / second)
    state = torch.load(directory / second, weights_only=True)["callbacks"]["Checkpoints"]
    assert list(state["scores"]) == [first]  # saved before the validation that follows


class LibraryCopy:
    """Copy of an installed package in which a name can be renamed.

    Args:
        package: name of the package.
        directory: directory that will contain the copy; it is put on the path of the runs.
    """

    def __init__(self, package: str, directory: Path) -> None:
        (source,) = import_module(package).__path__
        self.source, self.directory, self.copy = Path(source), directory, directory / package
        shutil.copytree(self.source, self.copy)  # with the compiled files: times of modification are copied

    @contextmanager
    def renaming(self, name: str) -> Iterator[None]:
        """Rename a name in all sources, and a module of this name, in the `with` block."""
        changed = []
        for file in self.copy.rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            new_text, count = re.subn(rf"\b{name}\b", f"{name}_renamed", text)
            if count:
                file.write_text(new_text, encoding="utf-8")
                changed.append(file)
        modules = list(self.copy.rglob(f"{name}.py"))
        for file in modules:
            file.rename(file.with_stem(f"{name}_renamed"))
        assert changed, f"{self.source} does not contain {name}"
        yield
        for file in modules:
            file.with_stem(f"{name}_renamed").unlink()
        for file in changed:
            shutil.copy2(self.source / file.relative_to(self.copy), file)

    def fit(self, config: str, run_name: str) -> "subprocess.CompletedProcess[str]":
        """Train in a subprocess that imports the copy."""
        command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config, "--name", run_name]
        path = os.pathsep.join(map(str, (self.directory, CONFIGS.parent)))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        arguments: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": 300}
        return subprocess.run(command, env=environment, **arguments)


PACKAGES = {
    Feature.METRIC_STATES: "torchmetrics",
    Feature.SIGNATURES: "jsonargparse",
    Feature.SENDING: "multiprocessing",
}


@pytest.mark.slow
@pytest.mark.parametrize("feature", WARNED, ids=[feature.name for feature in WARNED])
def test_run_with_a_renamed_name_warns_and_has_the_same_weights_or_is_refused(
    feature: Feature, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(RANDOM)
    assert cli("fit", "--config", config, "--name", "normal").code == 0
    normal = weights(tmp_path / "experiments/normal")
    library = LibraryCopy(PACKAGES.get(feature, "pytorch_lightning"), tmp_path / "library")
    parts = (part for name in PRIVATE_NAMES[feature] for part in re.split("[.:]", name))
    for name in dict.fromkeys(part for part in parts if part.startswith("_")):
        with library.renaming(name):
            ran = library.fit(config, f"without{name}")
        assert "Traceback" not in ran.stderr, f"{name}: {ran.stderr}"
        if ran.returncode == 2:
            assert len(ran.stderr.splitlines()) == 1, name
            assert ran.stderr.startswith("error: ")
            continue
        assert ran.returncode == 0, f"{name}: {ran.stderr}"
        warning = next(line for line in ran.stderr.splitlines() if "the installed libraries do not have" in line)
        assert name in warning
        assert_equal(weights(tmp_path / f"experiments/without{name}"), normal)

"""One run on several processes."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import CONFIGS, Cli
from tests.core.test_exact_resume import RANDOM
from tests.exactness import curves

TRACED = RANDOM | {
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "data": RANDOM["data"] | {"batch_size": 6, "val": {"type": "tests.core.random_rooms.Noisy", "length": 20}},
    "trainer": RANDOM["trainer"] | {"callbacks": [{"type": "tests.core.random_rooms.Trace"}], "strategy": "ddp"},
}


def fit(config: str, folder: Path, devices: int, *argv: str) -> None:
    """Trains in processes of their own."""
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config, *argv]
    command += ["--trainer.devices", str(devices), "--root", str(folder / "experiments")]
    folder.mkdir(exist_ok=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def trace(folder: Path) -> list[list[int]]:
    """The samples of each step, of all processes together."""
    files = sorted(folder.glob("trace.*.txt"))
    parts = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    return [[*chain(*step)] for step in zip(*parts, strict=True)]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_workers_do_not_change_what_a_step_gets(
    workers: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(TRACED | {"trainer": TRACED["trainer"] | {"strategy": "auto"}})
    assert cli("fit", "--config", config).code == 0
    one = trace(tmp_path)
    (tmp_path / "trace.0.txt").unlink()
    assert cli("fit", "--config", config, "--name", "two", "--data.num_workers", workers).code == 0
    assert trace(tmp_path) == one
    first, second = (tmp_path / "experiments" / name / "checkpoints/last.ckpt" for name in ("tiny", "two"))
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_two_and_three_processes_get_the_same_steps(tiny: Callable[..., str], tmp_path: Path) -> None:
    # Without what depends on the process (dropout, batch statistics), the weights are the same, too, but for rounding.
    net: dict[str, Any] = {"net": {"type": "MLP", "in_features": 64, "num_classes": 10}}
    config = tiny(TRACED | {"model": RANDOM["model"] | net})
    for devices in (1, 2, 3):
        fit(config, tmp_path / str(devices), devices)
    traces = {devices: trace(tmp_path / str(devices)) for devices in (1, 2, 3)}
    assert len(traces[1]) == 14
    assert traces[1] == traces[2] == traces[3]
    for devices in (2, 3):
        alone, shared = (curves(tmp_path / str(number) / "experiments/tiny") for number in (1, devices))
        for name in ("val/sum", "val/accuracy"):
            assert [step for step, _ in alone[name]] == [step for step, _ in shared[name]]
            assert [value for _, value in shared[name]] == pytest.approx([value for _, value in alone[name]], rel=1e-4)


@pytest.mark.slow
def test_stopped_on_two_processes_it_goes_on_with_one(tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(TRACED)
    fit(config, tmp_path / "one", 1)
    fit(config, tmp_path / "two", 2, "--trainer.max_steps", "4")
    fit(config, tmp_path / "two", 1, "--resume", "auto", "--trainer.max_steps", "-1")
    parts = [[json.loads(line) for line in (tmp_path / f"two/trace.{rank}.txt").open()] for rank in (0, 1)]
    joined = [[*one, *two] for one, two in zip(parts[0][:4], parts[1], strict=True)] + parts[0][4:]
    assert joined == trace(tmp_path / "one")
    epoch = [*chain(*joined[:7])]
    assert len(epoch) == len({*epoch}) == 42

"""Several processes train each run together: all begin it, and all end it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from project.core.errors import ConfigError, RunStopped
from project.study.sweep import ranks
from project.study.sweep.process import Children
from project.study.sweep.ranks import Ranks, connect_ranks
from tests.components import MLP
from tests.conftest import CONFIGS, TINY, slow_except


class FailsOnRankOne(MLP):
    """Net that fails in one of two processes if it has eight hidden units."""

    def __init__(self, in_features: int, num_classes: int, hidden: int) -> None:
        super().__init__(in_features, num_classes, hidden)
        self.fails = hidden == 8 and os.environ["RANK"] == "1"

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if self.fails:
            raise ZeroDivisionError("on purpose")
        return super().forward(image)


def pretend(argv: Sequence[str], log: Path, pruning: object, environment: Mapping[str, str]) -> int:
    """Take the place of a stage: write the port, and end with the code of this rank, or never."""
    rank = os.environ["RANK"]
    code = argv[int(rank)]
    log.with_suffix(f".{rank}").write_text(f"{environment['MASTER_PORT']} {pruning is not None}")
    if code == "never":
        time.sleep(60)
    return int(code)


def follow(port: int) -> int:
    os.environ["RANK"] = "1"
    return Ranks(TCPStore("127.0.0.1", port), 1, 2).follow(Children())


@pytest.mark.parametrize(
    "case",
    slow_except(
        [
            (["0", "0"], 0),
            (["75", "75"], 75),
            (["0", "75"], 75),
            (["0", "3"], 3),
            (["1", "75"], 1),
            (["never", "4"], 4),
            (["5", "never"], 5),
        ],
        (["never", "4"], 4),
    ),
)
def test_a_stage_ends_with_the_code_of_the_rank_that_failed(
    case: tuple[list[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, expected = case
    monkeypatch.setattr(ranks, "run_in_child", pretend)
    monkeypatch.setattr(ranks, "_GRACE", 0.05)
    monkeypatch.setenv("RANK", "0")
    store, children = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False), Children()
    other = children.start(follow, store.port)
    leader = Ranks(store, 0, 2)

    def work() -> int:
        assert leader.run(["0", "0"], tmp_path / "first.txt", None, children) == 0
        return leader.run(codes, tmp_path / "second.txt", Undecided(), children)

    assert leader.lead(work) == expected
    assert children.wait(other) == expected
    ports = {name: [(tmp_path / f"{name}.{rank}").read_text() for rank in (0, 1)] for name in ("first", "second")}
    assert ports["first"][0] == ports["first"][1]
    assert ports["first"][0].endswith(" False")
    assert ports["second"][0] == ports["second"][1]
    assert ports["second"][0].endswith(" True")
    assert ports["first"][0].split()[0] != ports["second"][0].split()[0]


def test_a_rank_that_was_killed_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm and torchrun ask the others to end, which must do so before they are killed as well."""
    monkeypatch.setattr(ranks, "run_in_child", pretend)
    monkeypatch.setattr(ranks, "_GRACE", 0.05)
    monkeypatch.setattr(ranks, "_LAST_WAIT", 0.05)
    monkeypatch.setenv("RANK", "0")
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with pytest.raises(RunStopped, match="another process of the sweep ended without saying so"):
        Ranks(store, 0, 2).run(["1", "0"], tmp_path / "log.txt", None, Children())


class Undecided:
    """Pruning that ends no training."""

    def reports(self, step: int, value: float) -> str | None:
        return None


def test_an_error_of_rank_zero_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    store, children = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False), Children()
    other = children.start(follow, store.port)
    with pytest.raises(ZeroDivisionError):
        Ranks(store, 0, 2).lead(lambda: 1 // 0)
    assert children.wait(other) == 1


def test_a_single_process_connects_to_no_others() -> None:
    for environment in ({}, {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "1"}):
        assert connect_ranks(environment, jobs=2) is None


def test_jobs_are_refused_with_several_processes_per_run(monkeypatch: pytest.MonkeyPatch) -> None:
    torchrun = {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="--jobs is for runs of one process each, but 2 were started for each run"):
        connect_ranks(torchrun, jobs=2)


@pytest.mark.slow
def test_processes_of_torchrun_train_each_run_and_fail_together(tmp_path: Path) -> None:
    over: dict[str, Any] = {
        "base": "base.yaml",
        "model": {"net": {"type": f"{__name__}.FailsOnRankOne", "in_features": 64, "num_classes": 10}},
        "trainer": {"limit_train_batches": 2},
    }
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(over, sort_keys=False))
    (tmp_path / "width.yaml").write_text(yaml.safe_dump({"grid": {"model.net.hidden": [8, 9]}}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*command, str(CONFIGS.parent / "cli.py"), "sweep", "--config", "tiny.yaml", "--sweep", "width.yaml"]
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent)}
    ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 1, ran.stderr
    sweep = tmp_path / "experiments/width"
    records = [json.loads((sweep / ".sweep" / f"{number:04d}.json").read_text()) for number in range(2)]
    assert [record["state"] for record in records] == ["failed", "finished"], ran.stderr
    assert records[0]["reason"] == "ZeroDivisionError: on purpose"
    assert "Starting with 2 processes" in (sweep / ".sweep/0001.txt").read_text()
    assert (sweep / "0001/eval/test/metrics.json").is_file()

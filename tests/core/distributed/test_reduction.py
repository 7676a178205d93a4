"""Reduction of integers over all ranks."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from project.core.distributed.reduction import MaxReducer, barrier_on_exit


@pytest.fixture
def gloo(tmp_path: Path) -> Iterator[None]:
    """Connect this process with itself alone; test_processes.py has several."""
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def trainer_of(world_size: int) -> Any:
    return SimpleNamespace(world_size=world_size)


def test_one_process_gets_its_own_values() -> None:
    reducer = MaxReducer()
    assert reducer.reduce_delayed(trainer_of(1), 3, 0) == [3, 0]
    assert reducer.reduce(trainer_of(1), 4) == [4]


@pytest.mark.usefixtures("gloo")
def test_delayed_result_is_that_of_the_previous_call() -> None:
    reducer, trainer = MaxReducer(), trainer_of(2)
    assert reducer.reduce_delayed(trainer, 3, 0) == [0, 0]
    assert reducer.reduce_delayed(trainer, 5, 1) == [3, 0]
    assert reducer.reduce(trainer, 7) == [7]
    assert reducer.reduce_delayed(trainer, 0, 0) == [0, 0]


@pytest.mark.usefixtures("gloo")
def test_lost_process_is_reported_at_the_exit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    barrier_on_exit()
    assert capsys.readouterr().err == ""

    def fail() -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(torch.distributed, "barrier", fail)
    barrier_on_exit()
    assert capsys.readouterr().err == "another process did not end with this one: Connection closed by peer\n"

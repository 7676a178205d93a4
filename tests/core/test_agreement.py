from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from project.core.agreement import Agreement


@pytest.fixture
def gloo(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone; test_processes.py has more of them."""
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def trainer(processes: int) -> Any:
    return SimpleNamespace(world_size=processes, strategy=None)


def test_one_process_agrees_with_itself() -> None:
    agreement = Agreement()
    assert agreement.exchange(trainer(1), 3, 0) == [3, 0]
    assert agreement.greatest(trainer(1), 4) == [4]


@pytest.mark.usefixtures("gloo")
def test_several_hear_what_was_said_a_call_before() -> None:
    agreement, several = Agreement(), trainer(2)
    assert agreement.exchange(several, 3, 0) == [0, 0]
    assert agreement.exchange(several, 5, 1) == [3, 0]
    assert agreement.greatest(several, 7) == [7]
    assert agreement.exchange(several, 0, 0) == [0, 0]

"""Runs on different numbers of processes are compared within rounding, where that means something."""

from pathlib import Path

import numpy as np
import pytest
import torch

from project.core.errors import ConfigError
from project.core.run.git import GitState
from project.study.bisect.rounding import WithinRounding, check_comparable
from project.study.bisect.surroundings import Source

STATE = {"weight net.0.weight": torch.ones(2)}


def sources(**settings: object) -> list[Source]:
    code = GitState(None, None)
    return [Source(Path("run"), settings, {"threads.processes": count}, code) for count in (1, 2)]


def test_small_differences_are_rounding_and_large_ones_are_not() -> None:
    equality, steps = WithinRounding(), np.array([1, 1, 9, 9])
    one, two = np.ones(4), np.array([1 + 1e-6, 1 + 1e-4, 1 + 1e-4, 1.1])
    assert equality.values(steps, one, two).tolist() == [False, True, False, True]
    moved = {"weight net.0.weight": torch.tensor([1.0, 1.001])}
    assert equality.states(3, STATE, moved) == ["weight net.0.weight"]
    assert equality.states(30, STATE, moved) == []


def test_runs_whose_processes_compute_something_else_are_refused() -> None:
    check_comparable(sources(**{"model.net.dropout": 0.0}), STATE)
    with pytest.raises(ConfigError, match=r"its own random numbers \(model.net.dropout\)"):
        check_comparable(sources(**{"model.net.dropout": 0.1}), STATE)
    with pytest.raises(ConfigError, match=r"its own random numbers \(data.batch_augmentation.mixup.type\)"):
        check_comparable(sources(**{"data.batch_augmentation.mixup.type": "Mixup"}), STATE)
    with_norm = STATE | {"weight net.1.running_mean": torch.zeros(2)}
    with pytest.raises(ConfigError, match=r"normalizes its own part of the batch \(net.1.running_mean\)"):
        check_comparable(sources(), with_norm)
    check_comparable(sources(**{"trainer.sync_batchnorm": True}), with_norm)

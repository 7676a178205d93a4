"""A run resumed from any of its checkpoints ends as if nothing had happened: difference exactly 0."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core import datamodule, fetch, randomness
from project.core.order import Place
from tests.conftest import TINY, Cli
from tests.exactness import differing, outcome
from tests.modules.test_gan import GAN
from tests.modules.test_mean_teacher import TEACHER

NOISY = {"type": "tests.core.random_rooms.Noisy", "split": None}
# Dropout, batch statistics, samples drawn by torch, numpy and python, clipping with a warm-up, a schedule by step.
RANDOM: dict[str, Any] = {
    "model": {
        "net": {"type": "tests.core.random_rooms.Dropped"},
        "scheduler": {"type": "CosineAnnealingLR", "T_max": 9},
        "interval": "step",
        "clip": {"value": 1.0, "warmup_epochs": 1, "value_after": 0.1},
    },
    "data": {
        "batch_size": 8,
        "train": {"type": "tests.core.random_rooms.Noisy", "length": 42},
        "val": {"type": "tests.core.random_rooms.Noisy", "length": 20},
        "eval": {"type": "tests.core.random_rooms.Noisy", "length": 11},
    },
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "trainer": {"max_epochs": 2, "limit_train_batches": 1.0, "log_every_n_steps": 1},
}
Train = Callable[..., Path]
Resume = Callable[..., list[str]]


@pytest.fixture
def train(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Train:
    """Trains to the end, and returns a copy of the run's folder."""

    def run(*overs: dict[str, Any]) -> Path:
        config = tiny(RANDOM)
        argv = [word for i, over in enumerate(overs) for word in ("--config", tiny({"base": []} | over, f"{i}.yaml"))]
        ran = cli("fit", "--config", config, *argv)
        assert ran.code == 0, ran.err
        return shutil.copytree(tmp_path / "experiments/tiny", tmp_path / "whole")

    return run


@pytest.fixture
def resume(cli: Cli, tmp_path: Path) -> Resume:
    """Takes the run back to a checkpoint, resumes it, and returns the places at which it ends otherwise."""

    def run(whole: Path, checkpoint: Path, *argv: str) -> list[str]:
        folder = tmp_path / "experiments/tiny"
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
        ran = cli("fit", "--resume", str(folder / "checkpoints" / checkpoint.name), *argv)
        assert ran.code == 0, ran.err
        return differing(outcome(whole), outcome(folder))

    return run


def checkpoints(whole: Path) -> list[Path]:
    return sorted((whole / "checkpoints").glob("epoch_*.ckpt"))


@pytest.mark.parametrize("workers", ["0", "1"])
def test_from_every_single_step(workers: str, train: Train, resume: Resume) -> None:
    whole = train({"data": {"num_workers": int(workers)}})
    assert len(checkpoints(whole)) == 10
    for checkpoint in checkpoints(whole):
        assert resume(whole, checkpoint) == [], checkpoint.name


# One at a time: a run is the same again only with all three. Without workers the fetch's seeds reach the step, too.
SEEDS = {
    "order": (datamodule.DataModule, "_position", lambda self: Place()),
    "fetch": (fetch, "seed_with", lambda seed: None),
    "step": (randomness, "seed_step", lambda *parts: None),
}


@pytest.mark.parametrize("off", list(SEEDS))
def test_each_of_order_fetch_and_step_is_needed(
    off: str, train: Train, resume: Resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*SEEDS[off])
    whole = train({"data": {"num_workers": 1 if off == "step" else 0}})
    assert resume(whole, checkpoints(whole)[2]) != []


VARIANTS: dict[str, dict[str, Any]] = {
    "accumulated batches": {"trainer": {"accumulate_grad_batches": 2}},
    "validation in mid-epoch": {"trainer": {"val_check_interval": 2}},
    "validation while batches are accumulated": {"trainer": {"val_check_interval": 3, "accumulate_grad_batches": 2}},
    "validation every other epoch": {"trainer": {"check_val_every_n_epoch": 2}},
    "no validation": {"data": {"val": None}},
    "part of an epoch": {"trainer": {"limit_train_batches": 3}},
    "EMA": {"trainer": {"callbacks": [{"type": "EMAWeightAveraging", "decay": 0.9}]}},
    "bf16": {"trainer": {"precision": "bf16-mixed"}},
    "all in bf16": {"trainer": {"precision": "bf16-true"}},
    "plateau": {
        "model": {
            "scheduler": {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0, "mode": "max"},
            "interval": "epoch",
        }
    },
    "early stopping": {
        "trainer": {
            "max_epochs": 9,
            "callbacks": [{"type": "EarlyStopping", "monitor": "val/sum", "mode": "max", "patience": 1}],
        }
    },
    "a number of steps": {"trainer": {"max_epochs": None, "max_steps": 7, "val_check_interval": 2}},
    "evaluation along the way": {
        "evaluation": {"every_n_epochs": 1},
        "checkpoint": {"monitor": "eval/accuracy", "mode": "max"},
    },
    "batches fetched in one call": {"data": {"train": {"type": "tests.core.random_rooms.NoisyBatches", "length": 42}}},
    "channels last": {"model": {"net": {"type": "tests.core.random_rooms.Convolved"}, "channels_last": True}},
    "two optimizers": {"model": GAN | {"clip": {"value": 0.1, "warmup_epochs": 1}}, "data": {"val": None}},
    "mean teacher": {"model": TEACHER | {"net": RANDOM["model"]["net"]}},
    "a schedule over the whole run": {
        "model": {"scheduler": {"type": "WarmupCosine", "warmup": 2}},
        "data": {"num_workers": 1},
    },
    "what training logged decides": {
        "model": {
            "scheduler": {"type": "ReduceLROnPlateau", "monitor": "train/sum", "patience": 0},
            "interval": "epoch",
        },
        "data": {"val": None},
        "checkpoint": {"monitor": "train/sum"},
        "trainer": {
            "max_epochs": 6,
            "callbacks": [{"type": "EarlyStopping", "monitor": "train/sum", "mode": "max", "patience": 1}],
        },
    },
    "a validation before the end decides": {
        "model": {"scheduler": {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0}, "interval": "epoch"},
        "trainer": {"val_check_interval": 2},
    },
    "a stop within an epoch": {"trainer": {"callbacks": [{"type": "tests.core.random_rooms.StopAt", "step": 7}]}},
    "a stop that waits for an epoch": {
        "trainer": {
            "max_epochs": 5,
            "min_epochs": 3,
            "callbacks": [{"type": "tests.core.random_rooms.StopAt", "step": 3}],
        }
    },
    "hooks that draw": {
        "model": TINY["model"] | RANDOM["model"] | {"type": "tests.core.random_rooms.Drawing"},
        "data": {"num_workers": 1},
    },
    "frozen epochs": {"trainer": {"overfit_batches": 3}, "data": {"val": None}},
    "part of a stateful stream": {
        "data": {"train": {"type": "tests.core.random_rooms.NoisyStream", "length": 100}},
        "trainer": {"limit_train_batches": 3},
    },
    "part of a stateful stream in a worker": {
        "data": {"train": {"type": "tests.core.random_rooms.NoisyStream", "length": 100}, "num_workers": 1},
        "trainer": {"limit_train_batches": 3},
    },
    "stateful stream": {"data": {"train": {"type": "tests.core.random_rooms.NoisyStream", "length": 42}}},
    "stateful stream in a worker": {
        "data": {"train": {"type": "tests.core.random_rooms.NoisyStream", "length": 42}, "num_workers": 1}
    },
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_from_within_an_epoch_and_from_its_end(variant: str, train: Train, resume: Resume) -> None:
    whole = train(VARIANTS[variant])
    found = checkpoints(whole)
    for checkpoint in (found[1], found[len(found) // 2 - 1]):
        assert resume(whole, checkpoint) == [], checkpoint.name


def test_with_other_workers(train: Train, resume: Resume) -> None:
    whole = train({"data": {"num_workers": 3}})
    for checkpoint, workers in zip(checkpoints(whole)[1::3], ("0", "1", "2"), strict=True):
        places = resume(whole, checkpoint, "--data.num_workers", workers)
        assert places == [], checkpoint.name


def test_a_run_that_is_told_to_stop_at_once_ends(train: Train, resume: Resume, cli: Cli, tmp_path: Path) -> None:
    whole = train()
    stop = "[{type: tests.core.random_rooms.StopAt, step: 0}]"
    assert resume(whole, checkpoints(whole)[2], "--trainer.callbacks", stop) != []
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 3


def test_a_finished_run_stays_as_it_is(train: Train, resume: Resume) -> None:
    whole = train()
    assert resume(whole, whole / "checkpoints/last.ckpt") == []
    assert resume(whole, whole / "checkpoints/best.ckpt") == []

"""A run resumed from any of its checkpoints ends with the same bits as the uninterrupted run."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.data import datamodule, loading
from project.core.data.sampling import TrainingPosition
from project.core.training import step_seeding
from tests.conftest import TINY, Cli, slow_except
from tests.core.fitted_components import FITTED
from tests.exactness import differing, outcome
from tests.modules.test_gan import GAN
from tests.modules.test_mean_teacher import TEACHER

# Dropout, batch statistics, samples drawn by torch, numpy and python, clipping with a warm-up, a schedule per step.
RANDOM: dict[str, Any] = {
    "model": {
        "net": {"type": "tests.core.random_components.Dropped"},
        "scheduler": {"type": "CosineAnnealingLR", "T_max": 9},
        "interval": "step",
        "clip": {"value": 1.0, "warmup_epochs": 1, "value_after": 0.1},
    },
    "data": {
        "batch_size": 8,
        "train": {"type": "tests.core.random_components.Noisy", "length": 42},
        "val": {"type": "tests.core.random_components.Noisy", "length": 20},
        "eval": {"type": "tests.core.random_components.Noisy", "length": 11},
    },
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "digests": {"all": 1},
    "trainer": {
        "max_epochs": 2,
        "limit_train_batches": 1.0,
        "log_every_n_steps": 1,
        "logger": [{"type": "CSVLogger"}],
    },
}
Train = Callable[..., Path]
Resume = Callable[..., list[str]]


@pytest.fixture
def train(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Train:
    """Return a function that trains to the end and returns a copy of the run directory."""

    def run(*overs: dict[str, Any]) -> Path:
        config = tiny(RANDOM)
        argv = [word for i, over in enumerate(overs) for word in ("--config", tiny({"base": []} | over, f"{i}.yaml"))]
        ran = cli("fit", "--config", config, *argv)
        assert ran.code == 0, ran.err
        return shutil.copytree(tmp_path / "experiments/tiny", tmp_path / "uninterrupted")

    return run


@pytest.fixture
def resume(cli: Cli, tmp_path: Path) -> Resume:
    """Return a function that resumes a run from a checkpoint and returns the paths at which the outcome differs."""

    def run(uninterrupted: Path, checkpoint: Path, *argv: str) -> list[str]:
        directory = tmp_path / "experiments/tiny"
        shutil.rmtree(directory)
        shutil.copytree(uninterrupted, directory)
        ran = cli("fit", "--resume", str(directory / "checkpoints" / checkpoint.name), *argv)
        assert ran.code == 0, ran.err
        return differing(outcome(uninterrupted), outcome(directory))

    return run


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("epoch_*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_resume_from_every_step_is_exact(workers: str, train: Train, resume: Resume) -> None:
    uninterrupted = train({"data": {"num_workers": int(workers)}})
    assert len(checkpoints(uninterrupted)) == 10
    ends = [uninterrupted / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]  # last: nothing is left to do
    for checkpoint in [*checkpoints(uninterrupted)[:-1], *ends]:
        assert resume(uninterrupted, checkpoint) == [], checkpoint.name


# Each is switched off alone. Without workers, the seeds of the samples seed the step as well.
SEEDS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "order": (datamodule.DataModule, "_position", lambda self: TrainingPosition()),
    "samples": (loading, "set_seed", lambda seed: None),
    "steps": (step_seeding, "seed_step", lambda *parts: None),
}


@pytest.mark.parametrize("off", slow_except(SEEDS, "samples"))
def test_seeds_of_order_samples_and_steps_are_all_needed(
    off: str, train: Train, resume: Resume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*SEEDS[off])
    uninterrupted = train({"data": {"num_workers": 1 if off == "steps" else 0}})
    assert resume(uninterrupted, checkpoints(uninterrupted)[2]) != []


STREAM = {"type": "tests.core.random_components.AnnouncedStream", "length": 42}
BLENDED = {"blend": {"type": "tests.core.random_components.Blended"}}
VARIANTS: dict[str, dict[str, Any]] = {
    "fitted components": FITTED | {"data": {"batch_size": 8}},
    "accumulated batches": {"trainer": {"accumulate_grad_batches": 2}},
    "validation within an epoch": {"trainer": {"val_check_interval": 2}},
    "validation between accumulated batches": {"trainer": {"val_check_interval": 3, "accumulate_grad_batches": 2}},
    "validation every other epoch": {"trainer": {"check_val_every_n_epoch": 2}},
    "no validation": {"data": {"val": None}},
    "part of an epoch": {"trainer": {"limit_train_batches": 3}},
    "EMA": {"trainer": {"callbacks": [{"type": "EMAWeightAveraging", "decay": 0.9}]}},
    "model.ema in bf16, of accumulated batches": {
        "model": {"ema": 0.9},
        "trainer": {"precision": "bf16-true", "accumulate_grad_batches": 2, "val_check_interval": 3},
    },
    "bf16-mixed": {"trainer": {"precision": "bf16-mixed"}},
    "bf16-true": {"trainer": {"precision": "bf16-true"}},
    "64-true": {"trainer": {"precision": "64-true"}},
    "optimizer with float32 state in bf16": {
        "model": {"optimizer": {"type": "NAdam"}},
        "trainer": {"precision": "bf16-true"},
    },
    "EMA in float64": {
        "trainer": {"precision": "64-true", "callbacks": [{"type": "EMAWeightAveraging", "decay": 0.9}]}
    },
    "repeated points while batches are accumulated": {
        "data": {"val": {"length": 3}},
        "trainer": {"val_check_interval": 1, "accumulate_grad_batches": 4, "max_epochs": 1},
    },
    "ReduceLROnPlateau": {
        "model": {
            "scheduler": {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0, "threshold": 9.0},
            "interval": "epoch",
        }
    },
    "ReduceLROnPlateau after a warm-up": {
        "model": {
            "scheduler": {
                "type": "Warmup",
                "length": 1,
                # No value is better by 1000: each epoch has a lower rate.
                "after": {
                    "type": "ReduceLROnPlateau",
                    **{"monitor": "val/sum", "patience": 0, "threshold": 1000.0, "threshold_mode": "abs"},
                },
            },
            "interval": "epoch",
        },
        "trainer": {"max_epochs": 4},
    },
    "early stopping": {
        "trainer": {
            "max_epochs": 9,
            "callbacks": [{"type": "EarlyStopping", "monitor": "val/sum", "min_delta": 9.0, "patience": 1}],
        }
    },
    "max_steps": {"trainer": {"max_epochs": None, "max_steps": 7, "val_check_interval": 2}},
    "evaluation during training": {
        "evaluation": {"every_n_epochs": 1},
        "checkpoint": {"monitor": "eval/accuracy", "mode": "max"},
    },
    "values over the training epoch, of a dataset that gets it": {
        "model": {
            "train_metrics": "epoch",
            "metric": TINY["model"]["metric"]
            | {
                "auroc": {
                    "type": "MulticlassAUROC",
                    "num_classes": 10,
                    "inputs": {"preds": "logits", "target": "label"},
                }
            },
        },
        "data": {"train": {"type": "tests.core.random_components.NoisyEpochs", "length": 42}},
        "checkpoint": {"monitor": "train/auroc", "mode": "max"},
    },
    "__getitems__": {"data": {"train": {"type": "tests.core.random_components.NoisyBatches", "length": 42}}},
    "channels last": {"model": {"net": {"type": "tests.core.random_components.Convolved"}, "channels_last": True}},
    "two optimizers": {"model": GAN | {"clip": {"value": 0.1, "warmup_epochs": 1}}, "data": {"val": None}},
    "mean teacher": {"model": TEACHER | {"net": RANDOM["model"]["net"]}},
    "schedule over the whole run": {
        "model": {"scheduler": {"type": "WarmupCosine", "warmup": 2}},
        "data": {"num_workers": 1},
    },
    "training values stop the run and choose the best checkpoint": {
        "model": {
            "scheduler": {"type": "ReduceLROnPlateau", "monitor": "train/sum", "patience": 0},
            "interval": "epoch",
        },
        "data": {"val": None},
        "checkpoint": {"monitor": "train/sum"},
        "trainer": {
            "max_epochs": 6,
            "callbacks": [{"type": "EarlyStopping", "monitor": "train/sum", "min_delta": 9.0, "patience": 1}],
        },
    },
    "ReduceLROnPlateau with validations within an epoch": {
        "model": {"scheduler": {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0}, "interval": "epoch"},
        "trainer": {"val_check_interval": 2},
    },
    "stop within an epoch": {"trainer": {"callbacks": [{"type": "tests.core.random_components.StopAt", "step": 7}]}},
    "stop that waits for min_epochs": {
        "trainer": {
            "max_epochs": 5,
            "min_epochs": 3,
            "callbacks": [{"type": "tests.core.random_components.StopAt", "step": 3}],
        }
    },
    "random hooks": {
        "model": TINY["model"] | RANDOM["model"] | {"type": "tests.core.random_components.Drawing"},
        "data": {"num_workers": 1},
    },
    "accumulation by epoch": {
        "model": {"scheduler": {"type": "Warmup", "length": 3, "after": {"type": "Poly"}}},
        "trainer": {
            "log_every_n_steps": 2,
            "callbacks": [{"type": "GradientAccumulationScheduler", "scheduling": {0: 2, 1: 1}}],
        },
    },
    "batch augmentation": {"data": {"batch_augmentation": BLENDED, "num_workers": 1}},
    "batch augmentation of a stream": {
        "data": {
            "train": {"type": "tests.core.random_components.NoisyStream", "length": 42},
            "batch_augmentation": BLENDED,
        }
    },
    "overfit_batches": {"trainer": {"overfit_batches": 3}, "data": {"val": None}},
    "part of a stateful stream": {
        "data": {"train": {"type": "tests.core.random_components.NoisyStream", "length": 100}},
        "trainer": {"limit_train_batches": 3},
    },
    "part of a stateful stream in a worker": {
        "data": {"train": {"type": "tests.core.random_components.NoisyStream", "length": 100}, "num_workers": 1},
        "trainer": {"limit_train_batches": 3},
    },
    "stateful stream": {"data": {"train": {"type": "tests.core.random_components.NoisyStream", "length": 42}}},
    "stateful stream in a worker": {
        "data": {"train": {"type": "tests.core.random_components.NoisyStream", "length": 42}, "num_workers": 1}
    },
    "stateful stream that ends before its length": {"data": {"train": STREAM | {"announced": 60}}},
    "stateful stream that ends before its length, in a worker": {
        "data": {"train": STREAM | {"announced": 60}, "num_workers": 1},
    },
    "stateful stream with the right length": {"data": {"train": STREAM | {"announced": 42}}},
    "stateful stream that ends at the limit": {"data": {"train": STREAM}, "trainer": {"limit_train_batches": 5}},
    "stateful stream that ends before the limit": {
        "data": {"train": STREAM},
        "trainer": {"limit_train_batches": 8, "accumulate_grad_batches": 2, "max_epochs": 3},
    },
    "stateful stream longer than its length": {"data": {"train": STREAM | {"announced": 24}}},
}


# Each of these has a neighbour that tests more; the default run is short of time.
SLOW = {
    *("validation within an epoch", "validation every other epoch", "no validation", "EMA", "bf16-true", "64-true"),
    *("ReduceLROnPlateau", "max_steps", "channels last", "mean teacher", "overfit_batches"),
    *("part of a stateful stream", "stateful stream", "stateful stream that ends before its length, in a worker"),
    *("stateful stream in a worker", "stateful stream that ends before the limit", "bf16-mixed", "__getitems__"),
    *("stateful stream with the right length", "stateful stream longer than its length"),
    *("part of a stateful stream in a worker", "stateful stream that ends at the limit", "part of an epoch"),
    *("validation between accumulated batches", "stop that waits for min_epochs", "schedule over the whole run"),
    *("ReduceLROnPlateau with validations within an epoch", "early stopping"),
    *("model.ema in bf16, of accumulated batches", "accumulated batches"),
    *("batch augmentation", "batch augmentation of a stream", "ReduceLROnPlateau after a warm-up"),
    *("accumulation by epoch", "values over the training epoch, of a dataset that gets it", "EMA in float64"),
    *("stop within an epoch", "optimizer with float32 state in bf16", "random hooks", "fitted components"),
}


@pytest.mark.parametrize("variant", slow_except(VARIANTS, *(VARIANTS.keys() - SLOW)))
def test_resume_within_an_epoch_and_at_its_end_is_exact(variant: str, train: Train, resume: Resume) -> None:
    uninterrupted = train(VARIANTS[variant])
    found = checkpoints(uninterrupted)
    for checkpoint in (found[1], found[len(found) // 2 - 1]):
        assert resume(uninterrupted, checkpoint) == [], checkpoint.name


@pytest.mark.slow
@pytest.mark.parametrize("use_buffers", [True, False])
def test_resume_before_at_and_after_the_start_of_averaging_is_exact(
    use_buffers: bool, train: Train, resume: Resume
) -> None:
    """The first update is after step 6, the second of epoch 1."""
    average = {"type": "EMAWeightAveraging", "decay": 0.9, "update_starting_at_step": 5, "use_buffers": use_buffers}
    uninterrupted = train({"trainer": {"callbacks": [average]}})
    for checkpoint in checkpoints(uninterrupted)[4:7]:
        assert resume(uninterrupted, checkpoint) == [], checkpoint.name


@pytest.mark.parametrize("steps", slow_except([(1, 5, 7), (2, 3, 4, 6, 8, 9)], (1, 5, 7)))
def test_resume_before_at_and_after_the_end_of_freezing_is_exact(
    steps: tuple[int, ...], train: Train, resume: Resume
) -> None:
    """The first layer and the statistics of the batch norm are frozen in epoch 0; the weights are averaged."""
    frozen = {"freeze": {"until_epoch": 1}, "freeze_statistics": True, "lr_scale": 0.1}
    groups = [{"match": f"net.layers.{number}.*"} | frozen for number in (1, 2)]
    groups[0].pop("freeze_statistics")
    uninterrupted = train({"model": {"ema": 0.9, "groups": groups}})
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in checkpoints(uninterrupted)]
    for name in ("net.layers.1.weight", "net.layers.2.running_mean"):
        is_changed = [not torch.equal(one[name], two[name]) for one, two in itertools.pairwise(weights)]
        assert is_changed == [False] * 4 + [True] * 5
    for step in steps:
        assert resume(uninterrupted, checkpoints(uninterrupted)[step - 1]) == [], step


@pytest.mark.slow
def test_resume_with_another_number_of_workers_is_exact(train: Train, resume: Resume) -> None:
    uninterrupted = train({"data": {"num_workers": 2}})
    for checkpoint, workers in zip(checkpoints(uninterrupted)[1:8:5], ("0", "1"), strict=True):
        assert resume(uninterrupted, checkpoint, "--data.num_workers", workers) == [], checkpoint.name


def test_resumed_run_that_a_callback_stops_at_its_start_ends(
    train: Train, resume: Resume, cli: Cli, tmp_path: Path
) -> None:
    uninterrupted = train()
    stop = "[{type: tests.core.random_components.StopAt, step: 0}]"
    assert resume(uninterrupted, checkpoints(uninterrupted)[2], "--trainer.callbacks", stop) != []
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 3

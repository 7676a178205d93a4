"""`train/` values of whole epochs are those that an evaluation of the same samples has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.exactness import curves


def test_values_over_an_epoch_are_those_of_all_its_samples(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With a learning rate of 0, the validation of the training samples has the same values. They can be monitored."""
    config = tiny(
        {
            "model": {"train_metrics": "epoch", "optimizer": {"lr": 0}},
            "data": {"batch_size": 141, "val": {"split": "train"}},  # 9 * 141 samples
            "checkpoint": {"monitor": "train/accuracy", "mode": "max"},
            "trainer": {"max_epochs": 2, "limit_train_batches": 1.0, "log_every_n_steps": 0},
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    found = curves(tmp_path / "experiments/tiny")
    for name in ("sum", "cross_entropy", "accuracy"):
        assert [step for step, _ in found[f"train/{name}"]] == [9, 18]
        values, expected = ([value for _, value in found[f"{split}/{name}"]] for split in ("train", "val"))
        assert values == pytest.approx(expected, rel=1e-5)


def test_resume_that_begins_to_log_epochs_says_that_the_first_is_not_whole(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"checkpoint": {"every_n_steps": 1}, "trainer": {"limit_train_batches": 3, "max_steps": 1}})
    assert cli("fit", "--config", config).code == 0
    argv = ("--model.train_metrics", "epoch", "--trainer.max_steps", "3")
    ran = cli("fit", "--resume", "experiments/tiny", *argv)
    assert ran.code == 0, ran.err
    assert "train/ values of this epoch are those of its batches after the checkpoint" in ran.err
    assert [step for step, _ in curves(tmp_path / "experiments/tiny")["train/accuracy"]] == [3]

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Cli


def test_best_is_the_best_and_last_the_last(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With a learning rate that ruins the net after the first epoch, the best is the first."""
    config = tiny(
        {
            "model": {"optimizer": {"type": "SGD", "lr": 1.0}, "scheduler": {"type": "ExponentialLR", "gamma": 1e9}},
            "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
            "trainer": {"max_epochs": 3, "limit_train_batches": 8},
        }
    )
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny/checkpoints"
    best, last = (torch.load(run / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 2)


def test_one_file_where_the_last_is_the_best(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    run = tmp_path / "experiments/tiny/checkpoints"
    assert (run / "best.ckpt").samefile(run / "last.ckpt")
    assert sorted(path.name for path in run.iterdir()) == ["best.ckpt", "epoch_0000_step_000002.ckpt", "last.ckpt"]


@pytest.mark.parametrize("own", [{"monitor": "val/sum", "save_top_k": 3}, {"save_weights_only": True}])
def test_checkpoints_of_the_users_beside_ours(
    own: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    run = tmp_path / "experiments/tiny/checkpoints"
    for folder in (run, tmp_path / "elsewhere"):
        callbacks = [{"type": "ModelCheckpoint", "filename": "own", "dirpath": str(folder)} | own]
        ran = cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}}), "--replace")
        assert ran.code == 0, ran.err
        for name in ("best", "last"):
            assert torch.load(run / f"{name}.ckpt", weights_only=True)["optimizer_states"]
        assert ("optimizer_states" in torch.load(folder / "own.ckpt", weights_only=True)) is ("monitor" in own)

import errno
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from project.core import whole_files
from project.core.checkpoint import find_resumable
from project.core.module import SupervisedModule
from tests.conftest import TINY, Cli


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


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "experiments/tiny/checkpoints").glob("epoch*"))


RUIN = {
    "model": {"optimizer": {"type": "SGD", "lr": 1e-3}, "scheduler": {"type": "ExponentialLR", "gamma": 1e3}},
    "trainer": {"max_epochs": 5, "limit_train_batches": 2},
}


def test_the_newest_and_the_best_are_kept(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The net is ruined after two epochs, so that the best are not the newest."""
    settings = {"best": 2, "keep": 1, "monitor": "val/sum", "mode": "min"}
    ran = cli("fit", "--config", tiny(RUIN | {"checkpoint": settings}))
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    sums = [event.value for event in events.Scalars("val/sum")]
    best = sorted(range(5), key=sums.__getitem__)[:2]
    assert 4 not in best
    assert names(tmp_path) == [f"epoch_{epoch:04d}_step_{2 * epoch + 2:06d}.ckpt" for epoch in sorted({*best, 4})]
    scores = saved["callbacks"]["Checkpoints"]["scores"]
    assert scores == {f"epoch_{epoch:04d}_step_{2 * epoch + 2:06d}.ckpt": sums[epoch] for epoch in best}
    run = tmp_path / "experiments/tiny/checkpoints"
    assert (run / "best.ckpt").samefile(run / f"epoch_{best[0]:04d}_step_{2 * best[0] + 2:06d}.ckpt")


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"every_n_epochs": 2}, [1, 3, 4]),
        ({"every_n_epochs": 0}, [4]),
        ({"every_n_epochs": 0, "save_time": 1e-9}, [0, 1, 2, 3, 4]),
    ],
)
def test_how_often(
    settings: dict[str, Any], epochs: list[int], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"data": {"val": None}, "trainer": {"max_epochs": 5}, "checkpoint": {"keep": -1} | settings})
    ran = cli("fit", "--config", config, "--trainer.limit_train_batches", "1")
    assert ran.code == 0, ran.err
    assert names(tmp_path) == [f"epoch_{epoch:04d}_step_{epoch + 1:06d}.ckpt" for epoch in epochs]


def test_every_so_many_steps(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    checkpoint = {"keep": -1, "every_n_steps": 3, "every_n_epochs": 0}
    trainer = {"max_epochs": 2, "limit_train_batches": 4}
    assert cli("fit", "--config", tiny({"checkpoint": checkpoint, "trainer": trainer, "data": {"val": None}})).code == 0
    assert [name[-9:-5] for name in names(tmp_path)] == ["0003", "0006", "0008"]


def test_the_best_has_the_weights_that_were_measured(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Measured while gradients are being accumulated, when no run could go on from it."""
    trainer = {"limit_train_batches": 4, "accumulate_grad_batches": 4, "val_check_interval": 1}
    assert cli("fit", "--config", tiny({"trainer": trainer})).code == 0
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    least = min(event.value for event in events.Scalars("val/sum"))
    assert cli("validate", "--ckpt_path", "experiments/tiny").code == 0
    measured = json.loads((tmp_path / "experiments/tiny/eval/validate/metrics.json").read_text())["sum"]
    assert measured == pytest.approx(least, rel=1e-6)


def test_a_full_disk(cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = torch.save, []

    def full(checkpoint: Any, file: Any) -> None:
        calls.append(file)
        if len(calls) == 3:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", full)
    config = tiny({"trainer": {"max_epochs": 4}})
    ran = cli("fit", "--config", config)
    assert ran.code == 1
    assert "epoch_0002_step_000006.ckpt was not written, those before it are as they were: [Errno 28]" in ran.err
    assert "Traceback" not in ran.err
    run = tmp_path / "experiments/tiny/checkpoints"
    assert [name[-9:-5] for name in names(tmp_path)] == ["0002", "0004"]
    assert not list(run.glob(".*"))
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert [name[-9:-5] for name in names(tmp_path)] == ["0006", "0008"]


def test_a_disk_that_is_really_full(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow to mount a small disk")
    try:
        net = {"net": {"hidden": 500}}
        settings = {"model": net, "checkpoint": {"keep": -1}, "trainer": {"max_epochs": 9, "limit_train_batches": 1}}
        ran = cli("fit", "--config", tiny(settings), "--root", str(disk))
        assert ran.code == 1
        assert "No space left on device" in ran.err
        assert "Traceback" not in ran.err
        written = len(list((disk / "tiny/checkpoints").glob("epoch*")))
        assert find_resumable(disk / "tiny")[1]["global_step"] == written
        assert 1 < written < 9
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_old_one_goes_when_the_new_one_stands(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing: list[int] = []
    monkeypatch.setattr(whole_files, "_write", counting(whole_files._write, standing))
    config = tiny({"checkpoint": {"keep": 1}, "trainer": {"max_epochs": 3}, "data": {"val": None}})
    assert cli("fit", "--config", config).code == 0
    assert standing == [1, 2, 2]
    assert [name[-9:-5] for name in names(tmp_path)] == ["0006"]


def counting(write: Callable[..., None], standing: list[int]) -> Callable[..., None]:
    """Counts the checkpoints that are there when one was written, and before what comes then."""

    def writes(checkpoint: Any, path: Path, then: Callable[[], None]) -> None:
        def count() -> None:
            standing.append(len(list(path.parent.glob("epoch*"))))
            then()

        write(checkpoint, path, count)

    return writes


def test_what_is_monitored_is_looked_for(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--checkpoint.monitor", "val/accuracyy")
    assert ran.code == 2
    assert "error: checkpoint.monitor: nothing is called 'val/accuracyy'; did you mean 'val/accuracy'?" in ran.err


@pytest.mark.parametrize(
    "settings",
    [
        {
            "evaluation": {"every_n_epochs": 1},
            "checkpoint": {"monitor": "eval/sum", "every_n_epochs": 0, "keep": 1},
            "data": {"val": None},
        },
        {
            "checkpoint": {"keep": 2},
            "trainer": {"limit_train_batches": 9, "accumulate_grad_batches": 4, "val_check_interval": 5},
        },
    ],
    ids=["judged at an epoch's end", "judged while batches are accumulated"],
)
def test_what_no_run_goes_on_from_pushes_nothing_out(
    settings: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    trainer = {"max_epochs": 4, "callbacks": [{"type": "tests.core.random_rooms.Strike"} | STRIKE]}
    config = tiny(settings | {"trainer": settings.get("trainer", {}) | trainer})
    assert cli("fit", "--config", config).code == 1
    assert find_resumable(tmp_path / "experiments/tiny")[1]["epoch"] >= 1
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "experiments/tiny/checkpoints").glob("*between*"))) <= 1


STRIKE = {"hook": "on_train_epoch_end", "count": 3, "what": "exception"}


def test_what_could_not_be_read_again_is_not_written(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    callbacks = [{"type": "tests.core.test_saving.Numbers"}]
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}}))
    assert ran.code == 2
    assert "the checkpoint's callbacks.Numbers holds numpy" in ran.err
    assert names(tmp_path) == []


class Numbers(Callback):
    """Keeps what is no plain data."""

    def state_dict(self) -> dict[str, Any]:
        return {"x": np.float64(1.5)}


def test_hyper_parameters_of_the_users_are_left_out(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"model": TINY["model"] | {"type": "tests.core.test_saving.Recorded"}}))
    assert ran.code == 0, ran.err
    assert "hyper_parameters" not in torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)


class Recorded(SupervisedModule):
    """Records its own arguments, objects among them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


def test_a_file_system_that_cannot_sync_a_folder(
    cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(opened)

    monkeypatch.setattr(os, "fsync", refuse)
    assert cli("fit", "--config", tiny()).code == 0


def test_a_value_logged_behind_the_validation(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": TINY["model"] | {"type": "tests.core.test_saving.Late"}, "trainer": {"max_epochs": 3}})
    ran = cli("fit", "--config", config, "--checkpoint.monitor", "late")
    assert ran.code == 0, ran.err
    assert torch.load(tmp_path / "experiments/tiny/checkpoints/best.ckpt", weights_only=True)["epoch"] == 1


class Late(SupervisedModule):
    """Logs at the end of an epoch: least in the second."""

    def on_train_epoch_end(self) -> None:
        self.log("late", float((self.current_epoch - 1) ** 2))

"""When checkpoints are saved, and which are kept."""

import errno
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from project.core.model.module import SupervisedModule
from project.core.run import checkpoint_writer
from project.core.run.checkpoint_files import load_resumable
from tests.conftest import TINY, Cli
from tests.exactness import curves, read_events

HERE = "tests.core.run.test_checkpoint_policy"


def checkpoint_names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "experiments/tiny/checkpoints").glob("epoch*"))


def saved_steps(tmp_path: Path) -> list[int]:
    return [int(name[-9:-5]) for name in checkpoint_names(tmp_path)]


def test_best_has_the_best_value_and_last_the_last_step(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With a learning rate that ruins the net after the first epoch, the best is the first."""
    config = tiny(
        {
            "model": {"optimizer": {"type": "SGD", "lr": 1.0}, "scheduler": {"type": "ExponentialLR", "gamma": 1e9}},
            "checkpoint": {"monitor": "val/accuracy", "mode": "max"},
            "trainer": {"max_epochs": 3, "limit_train_batches": 8},
        }
    )
    assert cli("fit", "--config", config).code == 0
    directory = tmp_path / "experiments/tiny/checkpoints"
    best, last = (torch.load(directory / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["epoch"], last["epoch"]) == (0, 2)


def test_of_equal_values_the_earlier_is_best(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The weights do not change, so that all epochs have the same accuracy; a later one is no improvement."""
    settings = {"monitor": "val/accuracy", "mode": "max", "keep": 1}
    config = tiny({"checkpoint": settings, "trainer": {"max_epochs": 3}})
    assert cli("fit", "--config", config, "--model.optimizer.lr", "0").code == 0
    best = torch.load(tmp_path / "experiments/tiny/checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == 0


def test_best_and_last_are_links_to_one_file(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    directory = tmp_path / "experiments/tiny/checkpoints"
    names = ["best.ckpt", "epoch_0000_step_000002.ckpt", "last.ckpt"]
    assert sorted(path.name for path in directory.iterdir()) == names
    assert len({path.stat().st_ino for path in directory.iterdir()}) == 1


@pytest.mark.parametrize("own", [{"monitor": "val/sum", "save_top_k": 3}, {"save_weights_only": True}])
def test_model_checkpoint_of_the_user_works_beside_the_engine(
    own: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    directory = tmp_path / "experiments/tiny/checkpoints"
    for dirpath, own_directory in ((None, directory.parent / "event/checkpoints"), ("other", tmp_path / "other")):
        callbacks = [{"type": "ModelCheckpoint", "filename": "own", "dirpath": dirpath} | own]
        ran = cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}}), "--replace")
        assert ran.code == 0, ran.err
        for name in ("best", "last"):
            assert torch.load(directory / f"{name}.ckpt", weights_only=True)["optimizer_states"]
        content = torch.load(own_directory / "own.ckpt", weights_only=True)
        assert ("optimizer_states" in content) is ("monitor" in own)
        if "monitor" in own:  # Lightning calls no callback for a checkpoint of weights only
            assert content["run_header"]["resumable"] is False


# The learning rate ruins the net after two epochs, so that the best checkpoints are not the newest.
RUINED = {
    "model": {"optimizer": {"type": "SGD", "lr": 1e-3}, "scheduler": {"type": "ExponentialLR", "gamma": 1e3}},
    "trainer": {"max_epochs": 5, "limit_train_batches": 2},
}


def test_newest_and_best_are_kept_with_their_scores(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    settings = {"best": 2, "keep": 1, "monitor": "val/sum", "mode": "min"}
    ran = cli("fit", "--config", tiny(RUINED | {"checkpoint": settings}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    sums = [value for _, value in curves(run)["val/sum"]]
    best = sorted(range(5), key=sums.__getitem__)[:2]
    assert 4 not in best
    names = [f"epoch_{epoch:04d}_step_{2 * epoch + 2:06d}.ckpt" for epoch in range(5)]
    assert checkpoint_names(tmp_path) == [names[epoch] for epoch in sorted({*best, 4})]
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["callbacks"]["Checkpoints"]
    assert state["scores"] == {names[epoch]: sums[epoch] for epoch in best}
    assert (run / "checkpoints/best.ckpt").samefile(run / "checkpoints" / names[best[0]])


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"every_n_epochs": 2}, [1, 3, 4]),
        ({"every_n_epochs": 0}, [4]),
        ({"every_n_epochs": 0, "save_time": 1e-9}, [0, 1, 2, 3, 4]),
    ],
)
def test_epochs_and_time_between_checkpoints(
    settings: dict[str, Any], epochs: list[int], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"data": {"val": None}, "trainer": {"max_epochs": 5}, "checkpoint": {"keep": -1} | settings})
    ran = cli("fit", "--config", config, "--trainer.limit_train_batches", "1")
    assert ran.code == 0, ran.err
    assert checkpoint_names(tmp_path) == [f"epoch_{epoch:04d}_step_{epoch + 1:06d}.ckpt" for epoch in epochs]


def test_steps_between_checkpoints(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    checkpoint = {"keep": -1, "every_n_steps": 3, "every_n_epochs": 0}
    trainer = {"max_epochs": 2, "limit_train_batches": 4}
    assert cli("fit", "--config", tiny({"checkpoint": checkpoint, "trainer": trainer, "data": {"val": None}})).code == 0
    assert saved_steps(tmp_path) == [3, 6, 8]


@pytest.mark.parametrize(
    ("net", "before_first_step", "maximize"),
    [
        ("tests.components.MLP", 1, True),  # the first is best
        pytest.param("tests.components.MLP", 1, False, marks=pytest.mark.slow),
        ("tests.core.random_components.Dropped", 2, False),  # the last is best
        pytest.param("tests.core.random_components.Dropped", 2, True, marks=pytest.mark.slow),
    ],
)
def test_best_has_the_weights_that_were_validated(
    net: str, before_first_step: int, maximize: bool, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Validations between accumulated batches, which change the statistics of batch norm; not before the first step."""
    trainer = {"limit_train_batches": 5, "accumulate_grad_batches": 3, "val_check_interval": 1, "max_epochs": 2}
    arguments = {"in_features": 64, "num_classes": 10} if net.endswith("MLP") else {}
    model = {"net": {"type": net} | arguments, "optimizer": {"type": "SGD", "lr": 0.001, "maximize": maximize}}
    config = tiny({"model": model, "trainer": trainer})
    assert cli("fit", "--config", config).code == 0
    points = read_events(tmp_path / "experiments/tiny/event").Scalars("val/sum")
    values = [point.value for point in points[before_first_step:]]
    assert cli("validate", "--ckpt_path", "experiments/tiny").code == 0
    measured = json.loads((tmp_path / "experiments/tiny/eval/validate/metrics.json").read_text())["sum"]
    assert measured == pytest.approx(min(values), rel=1e-6)


def test_full_disk_stops_the_run_and_keeps_earlier_checkpoints(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save
    num_calls = 0

    def fail_at_third_call(checkpoint: Any, file: IO[bytes]) -> None:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 3:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(checkpoint, file)

    monkeypatch.setattr(torch, "save", fail_at_third_call)
    config = tiny({"trainer": {"max_epochs": 4}})
    ran = cli("fit", "--config", config)
    assert ran.code == 1
    path = tmp_path / "experiments/tiny/checkpoints/epoch_0002_step_000006.ckpt"
    reason = "[Errno 28] No space left on device; earlier checkpoints are intact"
    assert f"cannot write checkpoint {path}: {reason}" in ran.err
    assert "Traceback" not in ran.err
    assert saved_steps(tmp_path) == [2, 4]
    assert not list(path.parent.glob(".*"))
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert saved_steps(tmp_path) == [6, 8]


def test_real_full_disk_leaves_a_resumable_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow mounting a small disk")
    try:
        net = {"net": {"hidden": 500}}
        settings = {"model": net, "checkpoint": {"keep": -1}, "trainer": {"max_epochs": 9, "limit_train_batches": 1}}
        ran = cli("fit", "--config", tiny(settings), "--root", str(disk))
        assert ran.code == 1
        assert "No space left on device" in ran.err
        assert "Traceback" not in ran.err
        count = len(list((disk / "tiny/checkpoints").glob("epoch*")))
        assert load_resumable(disk / "tiny").step == count
        assert 1 < count < 9
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_old_checkpoint_is_removed_after_the_new_one_is_written(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    monkeypatch.setattr(checkpoint_writer, "_write", counting_checkpoints(checkpoint_writer._write, counts))
    config = tiny({"checkpoint": {"keep": 1}, "trainer": {"max_epochs": 3}, "data": {"val": None}})
    assert cli("fit", "--config", config).code == 0
    assert counts == [1, 2, 2]
    assert saved_steps(tmp_path) == [6]


def counting_checkpoints(write: Callable[..., None], counts: list[int]) -> Callable[..., None]:
    """Wrap `_write` to count the checkpoints on the disk after a write, before `on_written` removes any."""

    def wrapper(checkpoint: dict[str, Any], path: Path, on_written: Callable[[], None], prepare: Any) -> None:
        def count() -> None:
            counts.append(len(list(path.parent.glob("epoch*"))))
            on_written()

        write(checkpoint, path, count, prepare)

    return wrapper


EPOCH_END_FAILURE = {
    "type": "tests.core.random_components.Strike",
    "hook": "on_train_epoch_end",
    "count": 3,
    "what": "exception",
}


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
    ids=["monitored at the end of an epoch", "monitored between accumulated batches"],
)
def test_checkpoints_that_are_not_resumable_do_not_replace_resumable_ones(
    settings: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    trainer = {"max_epochs": 4, "callbacks": [EPOCH_END_FAILURE]}
    config = tiny(settings | {"trainer": settings.get("trainer", {}) | trainer})
    assert cli("fit", "--config", config).code == 1
    assert load_resumable(tmp_path / "experiments/tiny").epoch >= 1
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "experiments/tiny/checkpoints").glob("*between*"))) <= 1


def test_state_that_is_not_plain_data_is_refused_and_not_written(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [{"type": f"{HERE}.SavesNumpy"}]}}))
    assert ran.code == 2
    assert "the checkpoint's callbacks.SavesNumpy contains numpy" in ran.err
    assert "which is not plain data" in ran.err
    assert checkpoint_names(tmp_path) == []


class SavesNumpy(Callback):
    """Callback whose state is a numpy scalar, which is not plain data."""

    def state_dict(self) -> dict[str, Any]:
        return {"x": np.float64(1.5)}


def test_hyper_parameters_are_not_saved(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"model": TINY["model"] | {"type": f"{HERE}.SavesHyperParameters"}}))
    assert ran.code == 0, ran.err
    assert "hyper_parameters" not in torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)


class SavesHyperParameters(SupervisedModule):
    """Module that saves its arguments, some of which are objects."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.save_hyperparameters()


def test_file_system_that_cannot_sync_directories_is_supported(
    cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def refuse_directories(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(opened)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    assert cli("fit", "--config", tiny()).code == 0

"""Checkpoint files: which file a path means, and what is loaded from it."""

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from project import load
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import (
    LoadedCheckpoint,
    checkpoint_name,
    find_checkpoint,
    list_by_step,
    load_checkpoint,
    run_dir_of,
    safe_load,
)
from project.core.run.checkpoint_header import CheckpointHeader
from tests.conftest import Cli


def test_path_means_best_checkpoint_else_newest(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    for age, name in enumerate(["new", "old"]):
        (directory / f"{name}.ckpt").touch()
        os.utime(directory / f"{name}.ckpt", (100 - age, 100 - age))
    assert find_checkpoint(tmp_path).name == "new.ckpt"
    assert find_checkpoint(directory).name == "new.ckpt"
    (directory / "best.ckpt").touch()
    os.utime(directory / "best.ckpt", (1, 1))
    assert find_checkpoint(tmp_path).name == "best.ckpt"
    assert find_checkpoint(directory / "old.ckpt").name == "old.ckpt"


def test_missing_path_suggests_a_similar_name(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    with pytest.raises(ConfigError, match="digts does not exist; did you mean 'digits'"):
        find_checkpoint(tmp_path / "digts")


def test_run_dir_of_checkpoint_is_two_levels_up_or_its_own_directory() -> None:
    assert run_dir_of(Path("a/b/checkpoints/last.ckpt")) == Path("a/b")
    assert run_dir_of(Path("a/copied.ckpt")) == Path("a")


def test_checkpoints_are_listed_by_step_newest_first(tmp_path: Path) -> None:
    names = [checkpoint_name(0, 9), checkpoint_name(1, 1_000_000), checkpoint_name(1, 20)]
    for name in [*names, "last.ckpt", "epoch_0001_between_step_000030.ckpt"]:
        (tmp_path / name).touch()
    steps = {path.name: step for path, step in list_by_step(tmp_path).items()}
    assert list(steps.items()) == [(names[1], 1_000_000), (names[2], 20), (names[0], 9)]


def test_load_checkpoint_has_step_epoch_run_directory_and_gives_content_out_once(tmp_path: Path) -> None:
    path = tmp_path / "run/checkpoints/last.ckpt"
    path.parent.mkdir(parents=True)
    content = {"state_dict": {"w": torch.ones(2)}, "global_step": 7, "epoch": 1}
    CheckpointHeader("name: run\n", True).add_to(content)
    torch.save(content, path)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.step, checkpoint.epoch, checkpoint.header.config) == (7, 1, "name: run\n")
    assert checkpoint.run_directory == tmp_path / "run"
    assert torch.equal(checkpoint.take_content()["state_dict"]["w"], torch.ones(2))
    assert checkpoint.content == {}
    copied = Path(shutil.copy(path, tmp_path / "copied.ckpt"))
    assert load_checkpoint(copied).run_directory is None


def test_file_without_config_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match="is not a checkpoint of a run: it has no `state_dict` and `run_config`"):
        load_checkpoint(tmp_path / "other.ckpt")


def test_file_with_code_is_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    torch.save({"run_config": "", "state_dict": {}, "evil": Evil(tmp_path / "ran.txt")}, tmp_path / "evil.ckpt")
    with pytest.raises(ConfigError, match=r"contains more than plain data and was not loaded\n.* is not a tensor"):
        load_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran.txt").exists()


class Evil:
    """Object that creates a file when it is unpickled.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_file_with_options_of_argparse_is_loaded(tmp_path: Path) -> None:
    """Weights that are published often have them beside the tensors; they are plain data."""
    torch.save({"model": {"x": torch.ones(2)}, "args": argparse.Namespace(lr=0.1)}, tmp_path / "x.pth")
    assert torch.equal(safe_load(tmp_path / "x.pth")["model"]["x"], torch.ones(2))


def test_many_missing_weights_are_told_in_a_short_line() -> None:
    module = torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(30)))
    checkpoint = LoadedCheckpoint(Path("x.ckpt"), {"state_dict": {}, "run_config": ""})
    with pytest.raises(ConfigError) as caught:
        checkpoint.load_weights(module)
    assert str(caught.value) == (
        "checkpoint x.ckpt does not fit this model\n"
        'Missing key(s) in state_dict: "0.weight", "0.bias", "1.weight", ... (60)'
    )


def test_copied_checkpoint_is_enough_for_test_and_load(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    shutil.move(tmp_path / "experiments/tiny/checkpoints/best.ckpt", tmp_path / "copied.ckpt")
    shutil.rmtree(tmp_path / "experiments")
    for path in ("base.yaml", "tiny.yaml"):
        (tmp_path / path).unlink()
    assert cli("test", "--ckpt_path", "copied.ckpt").code == 0
    assert (tmp_path / "eval/test/metrics.json").exists()
    module = load("copied.ckpt")
    assert not module.training
    assert module({"image": torch.zeros(3, 1, 8, 8)})["logits"].shape == (3, 10)


def test_load_refuses_wrong_config_in_one_line(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    path = tmp_path / "experiments/tiny/checkpoints/best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["run_config"] = checkpoint["run_config"].replace("hidden: 8", "hidden: big")
    torch.save(checkpoint, path)
    with pytest.raises(ConfigError, match=r"^model.net.hidden is 'big'; it takes int$"):
        load(tmp_path / "experiments/tiny")

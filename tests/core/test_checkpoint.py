import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from project import load
from project.core.checkpoint import find_checkpoint, run_of
from project.core.errors import ConfigError
from tests.conftest import Cli


def test_best_else_newest(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for age, name in enumerate(["new", "old"]):
        (folder / f"{name}.ckpt").touch()
        os.utime(folder / f"{name}.ckpt", (100 - age, 100 - age))
    assert find_checkpoint(tmp_path).name == "new.ckpt"
    assert find_checkpoint(folder).name == "new.ckpt"
    (folder / "best.ckpt").touch()
    os.utime(folder / "best.ckpt", (1, 1))
    assert find_checkpoint(tmp_path).name == "best.ckpt"
    assert find_checkpoint(folder / "old.ckpt").name == "old.ckpt"


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    with pytest.raises(ConfigError, match="digts does not exist; did you mean 'digits'"):
        find_checkpoint(tmp_path / "digts")


def test_run_of() -> None:
    assert run_of(Path("a/b/checkpoints/last.ckpt")) == Path("a/b")
    assert run_of(Path("a/copied.ckpt")) == Path("a")


def test_a_copied_checkpoint_is_enough(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
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


def test_load_refuses_in_one_line(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    path = tmp_path / "experiments/tiny/checkpoints/best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["run_config"] = checkpoint["run_config"].replace("hidden: 8", "hidden: big")
    torch.save(checkpoint, path)
    with pytest.raises(ConfigError, match=r"model.net.hidden is 'big'; it takes int"):
        load(tmp_path / "experiments/tiny")

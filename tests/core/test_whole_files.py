import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric.plugins import TorchCheckpointIO

from project.core import whole_files
from project.core.errors import Stopped
from project.core.whole_files import WholeFiles, behind_the_training, copied, wait_for_files


def trainer_with(files: Any) -> Any:
    return SimpleNamespace(strategy=SimpleNamespace(checkpoint_io=files))


def test_a_copy_is_of_its_own_and_shares_what_was_shared() -> None:
    weight = torch.rand(3)
    checkpoint = {"a": weight, "b": [weight, {"c": weight[1:]}], "n": 3}
    copy, rooms = copied(checkpoint, {})
    weight.zero_()
    assert copy["a"].all()
    assert copy["a"] is copy["b"][0]
    assert torch.equal(copy["b"][1]["c"], copy["a"][1:])
    assert copy["n"] == 3
    again, same = copied(checkpoint | {"d": torch.ones(2)}, rooms)
    assert again["a"] is copy["a"]  # the room is used again
    assert not again["a"].any()
    assert len(same) == 3


def test_a_copy_has_all_that_was_there() -> None:
    net = torch.nn.BatchNorm1d(2)
    seen, weights = {1}, net.state_dict()
    copy, _ = copied({"state_dict": weights, "seen": seen, "sparse": torch.eye(3).to_sparse()}, {})
    seen.add(2)
    assert copy["seen"] == {1}
    assert copy["state_dict"]._metadata == weights._metadata  # the modules' versions
    assert torch.equal(copy["sparse"].to_dense(), torch.eye(3))


def test_training_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what was saved, whatever a step changes before the disk has it."""
    may_write, happened = threading.Event(), list[str]()
    write, path = whole_files._write, tmp_path / "a.ckpt"

    def slowly(*arguments: Any) -> None:
        assert may_write.wait(10)
        write(*arguments)

    monkeypatch.setattr(whole_files, "_write", slowly)
    trainer, weight = trainer_with(WholeFiles({})), torch.zeros(3)
    with behind_the_training(trainer, lambda: happened.append(f"then {path.exists()}")):
        trainer.strategy.checkpoint_io.save_checkpoint({"weight": weight}, path)
    weight += 1
    wait_for_files(trainer, if_done=True)
    happened.append("a step")
    may_write.set()
    wait_for_files(trainer)
    assert happened == ["a step", "then True"]
    assert torch.equal(torch.load(path, weights_only=True)["weight"], torch.zeros(3))


def test_a_failure_is_told_at_the_next_look(tmp_path: Path) -> None:
    trainer = trainer_with(WholeFiles({}))
    files = trainer.strategy.checkpoint_io
    (tmp_path / "file").touch()
    for look in (lambda: wait_for_files(trainer), lambda: files.save_checkpoint({}, tmp_path / "b.ckpt")):
        with behind_the_training(trainer, lambda: None):
            files.save_checkpoint({}, tmp_path / "file" / "a.ckpt")
        with pytest.raises(Stopped, match=r"a.ckpt was not written, those before it are as they were"):
            look()
        wait_for_files(trainer)  # told once


def test_other_files_are_written_at_once(tmp_path: Path) -> None:
    trainer, happened = trainer_with(TorchCheckpointIO()), list[bool]()
    with behind_the_training(trainer, lambda: happened.append((tmp_path / "a.ckpt").exists())):
        trainer.strategy.checkpoint_io.save_checkpoint({}, tmp_path / "a.ckpt")
    assert happened == [True]

"""Atomic, asynchronous writing of checkpoints."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from loguru import logger
from torch import nn

from project.core.errors import RunStopped
from project.core.run import checkpoint_writer
from project.core.run.checkpoint_files import load_checkpoint
from project.core.run.checkpoint_writer import CheckpointWriter, snapshot_to_cpu
from tests.conftest import Cli

RUN: dict[str, Any] = {"run_config": "", "state_dict": {}}  # the least that a checkpoint contains


def do_nothing() -> None:
    pass


def test_snapshot_is_independent_and_keeps_sharing() -> None:
    weight = torch.rand(3)
    checkpoint = {"a": weight, "b": [weight, {"c": weight[1:]}], "n": 3}
    copy, buffers = snapshot_to_cpu(checkpoint, {})
    weight.zero_()
    assert copy["a"].all()
    assert copy["a"] is copy["b"][0]
    assert torch.equal(copy["b"][1]["c"], copy["a"][1:])
    assert copy["n"] == 3
    assert len(buffers) == 2


def test_next_snapshot_reuses_buffers() -> None:
    weight = torch.ones(3)
    first, buffers = snapshot_to_cpu({"a": weight}, {})
    weight.zero_()
    second, buffers = snapshot_to_cpu({"a": weight, "new": torch.ones(2)}, buffers)
    assert second["a"] is first["a"]
    assert not second["a"].any()
    assert len(buffers) == 2
    _, buffers = snapshot_to_cpu({"new": torch.ones(2)}, buffers)
    assert len(buffers) == 1  # the buffer of a tensor that is gone is freed


def test_snapshot_keeps_metadata_and_sparse_tensors() -> None:
    net = nn.BatchNorm1d(2)
    numbers, weights = {1}, net.state_dict()
    copy, _ = snapshot_to_cpu({"state_dict": weights, "numbers": numbers, "sparse": torch.eye(3).to_sparse()}, {})
    numbers.add(2)
    assert copy["numbers"] == {1}
    assert copy["state_dict"]._metadata == weights._metadata  # type: ignore[attr-defined]  # versions of the modules
    assert torch.equal(copy["sparse"].to_dense(), torch.eye(3))


def test_write_does_not_block_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the values at save time, although a step changes them before it is written."""
    may_write = threading.Event()
    happened: list[str] = []
    write, path = checkpoint_writer._write, tmp_path / "a.ckpt"

    def write_later(*args: Any) -> None:
        assert may_write.wait(10)
        write(*args)

    monkeypatch.setattr(checkpoint_writer, "_write", write_later)
    writer, weight = CheckpointWriter(), torch.zeros(3)
    with writer.asynchronous_write(lambda: happened.append(f"written: {path.exists()}")):
        writer.save_checkpoint({"weight": weight}, path)
    weight += 1
    writer.raise_if_failed()
    happened.append("a step")
    may_write.set()
    writer.wait()
    assert happened == ["a step", "written: True"]
    assert torch.equal(torch.load(path, weights_only=True)["weight"], torch.zeros(3))


def test_write_error_is_raised_once_by_next_wait_or_save(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    (tmp_path / "file").touch()
    path = tmp_path / "file/a.ckpt"
    for call in (writer.wait, lambda: writer.save_checkpoint({}, tmp_path / "b.ckpt")):
        with writer.asynchronous_write(do_nothing):
            writer.save_checkpoint({}, path)
        with pytest.raises(RunStopped, match=rf"^cannot write checkpoint {path}: .*; earlier checkpoints are intact$"):
            call()
        writer.wait()  # raises nothing
    assert not (tmp_path / "b.ckpt").exists()


def test_write_error_is_raised_after_the_write_ended_and_logged_by_finish(tmp_path: Path) -> None:
    messages: list[str] = []
    sink = logger.add(messages.append, format="{level} {message}")
    writer = CheckpointWriter()
    (tmp_path / "file").touch()
    for _ in range(2):
        with writer.asynchronous_write(do_nothing):
            writer.save_checkpoint({}, tmp_path / "file/a.ckpt")
        assert writer._writing is not None
        writer._writing.exception(10)  # waits
        if not messages:
            with pytest.raises(RunStopped, match="earlier checkpoints are intact"):
                writer.raise_if_failed()
            messages.append("raised")
    writer.finish()
    logger.remove(sink)
    assert messages[0] == "raised"
    assert messages[1].startswith("ERROR cannot write checkpoint")
    assert len(messages) == 2


def test_save_outside_the_block_is_synchronous(tmp_path: Path) -> None:
    writer = CheckpointWriter()
    writer.save_checkpoint({"n": 1}, tmp_path / "a.ckpt")
    assert torch.load(tmp_path / "a.ckpt", weights_only=True) == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_loaded_content_is_given_out_once_and_then_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(RUN, path)
    loaded = load_checkpoint(path)
    content = loaded.content
    writer = CheckpointWriter(loaded)
    assert writer.load_checkpoint(path) is content
    assert loaded.content == {}
    again = writer.load_checkpoint(path)
    assert again == content
    assert again is not content


class ListingIO(TorchCheckpointIO):
    """Checkpoint plugin of a user: writes as torch does, and notes in listing.txt what is there before each write."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with Path("listing.txt").open("a") as file:
            file.write(" ".join(sorted(other.name[-11:] for other in Path(path).parent.glob("*.ckpt"))) + "\n")
        super().save_checkpoint(checkpoint, path, storage_options)


def test_other_plugins_write_synchronously(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The previous checkpoint is linked, and the one before it removed, before the next write."""
    plugins = [{"class_path": "tests.core.run.test_checkpoint_writer.ListingIO"}]
    settings = {"trainer": {"plugins": plugins, "max_epochs": 3}, "data": {"val": None}, "checkpoint": {"keep": 1}}
    ran = cli("fit", "--config", tiny(settings))
    assert ran.code == 0, ran.err
    lines = (tmp_path / "listing.txt").read_text().splitlines()
    assert lines == ["", "000002.ckpt last.ckpt", "000004.ckpt last.ckpt"]
    directory = tmp_path / "experiments/tiny/checkpoints"
    names = ["best.ckpt", "epoch_0002_step_000006.ckpt", "last.ckpt"]
    assert sorted(path.name for path in directory.iterdir()) == names

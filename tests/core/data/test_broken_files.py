"""Files that cannot be read are the user's: the message names them, in one line, also if a worker reads them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from project.core.data.loading import build_loader
from project.core.data.training_samples import TrainingSamples
from project.core.errors import ConfigError, error_location, user_message
from project.deploy.inputs import Picture
from tests.core.components import IndexImages, IndexStream


class Opened(IndexImages):
    """Dataset of one's own that opens a file, and does not name it."""

    def __init__(self, file: Path, error: type[Exception] | None = None) -> None:
        super().__init__(2)
        self.file, self.error = file, error

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if self.error is not None:
            raise self.error(5, "Input/output error")
        return {"image": torch.from_numpy(np.array(Image.open(self.file).convert("RGB")))}

    def name(self, index: int) -> str:
        return f"opened {index}"


class Pictures(Opened):
    """Dataset that reads pictures as those of the project do."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.from_numpy(Picture().read(self.file))}


class OpenedBatches(Opened):
    """The same, at once."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return self[indices[0]]


class OpenedStream(IndexStream):
    """The same, in order."""

    def __init__(self, file: Path) -> None:
        super().__init__(2)
        self.file = file

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        yield Opened(self.file)[0]


TRUNCATED = "image file is truncated"
DATASETS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pictures": (Pictures, "opened 0: FILE cannot be read: "),
    "own": (Opened, "opened 0: "),
    "batches": (OpenedBatches, "opened 0, opened 1: "),
    "stream": (OpenedStream, "0: "),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a picture that is truncated."""
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(256, size=(30, 30), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize("kind", DATASETS)
@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_truncated_file_is_a_mistake(file: Path, kind: str, num_workers: int) -> None:
    build, expected = DATASETS[kind]
    dataset = build(file)
    with pytest.raises(ConfigError) as raised:
        list(build_loader(dataset, "data.val", 2, 0, is_training=False, num_workers=num_workers))
    samples = "samples" if kind == "batches" else "sample"
    text = f"data.val ({type(dataset).__name__}), {samples} {expected}{TRUNCATED}"
    assert user_message(raised.value) == text.replace("FILE", str(file))


def test_file_that_is_no_picture_in_a_worker(file: Path) -> None:
    """What a worker sends is text with a traceback, of which the user sees the message."""
    file.write_text("no picture")
    with pytest.raises(ConfigError) as raised:
        list(build_loader(Pictures(file), "data.val", 1, 0, is_training=False, num_workers=1))
    assert user_message(raised.value) == (
        f"data.val (Pictures), sample opened 0: {file} cannot be read: it is no picture, or of a format that Pillow "
        "lacks"
    )


def test_file_of_the_training_samples(file: Path) -> None:
    """The first to read all pictures is what is fitted to them."""
    with pytest.raises(ConfigError) as raised:
        list(TrainingSamples(Pictures(file), seed=0))
    assert user_message(raised.value) == f"data.train (Pictures), sample 0: {file} cannot be read: {TRUNCATED}"


@pytest.mark.parametrize("error", [OSError, PermissionError])
def test_error_of_the_system_keeps_its_traceback(file: Path, error: type[Exception]) -> None:
    """The disk is broken, not the file."""
    with pytest.raises(error) as raised:
        list(build_loader(Opened(file, error), "data.val", 2, 0, is_training=False))
    assert error_location(raised.value) == "raised in data.val (Opened), samples opened 0, opened 1"

"""Tests of pictures inside a page."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project.study.report import embedding
from project.study.report.embedding import Embedder, describe_epoch, list_progress, spread
from tests.study.report.run_files import write_picture


def decode(uri: str | None) -> Image.Image:
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_small_picture_is_exact_and_large_one_is_shrunk(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "small.png")
    Image.new("L", (3000, 20), 7).save(tmp_path / "large.png")
    embedder = Embedder([])
    assert np.array_equal(np.asarray(decode(embedder.embed(tmp_path / "small.png"))), noise)
    assert decode(embedder.embed(tmp_path / "large.png")).size == (1100, 7)
    assert embedder.problems == []


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(30), "half"])
def test_damaged_picture_is_a_problem(tmp_path: Path, data: bytes | str) -> None:
    write_picture(tmp_path / "x.png", size=(300, 300))
    half = (tmp_path / "x.png").read_bytes()[:150]
    (tmp_path / "x.png").write_bytes(half if isinstance(data, str) else data)
    embedder = Embedder([])
    assert embedder.image(tmp_path / "x.png", "x") is None
    assert len(embedder.problems) == 1
    assert f"{tmp_path.name}/x.png cannot be shown: " in embedder.problems[0]


def test_pictures_of_a_page_are_limited_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out is said."""
    monkeypatch.setattr(embedding, "_MAX_ALL", 100)
    write_picture(tmp_path / "x.png")
    embedder = Embedder([])
    embedded = [embedder.embed(tmp_path / "x.png") for _ in range(20)]
    left_out = embedded.count(None)
    assert 0 < left_out < 20
    embedder.report_omissions()
    assert embedder.problems[0].startswith(f"{left_out} pictures are left out: ")


def test_progress_is_by_directory_and_in_order_of_steps(tmp_path: Path) -> None:
    """Epochs count from 1, as in the log; other files are no pictures of an epoch."""
    names = (
        "val/grid/epoch_0001_step_000020",
        "val/grid/epoch_0000_step_000010",
        "train/epoch_10000_step_1000000",
        "x",
    )
    for name in names:
        write_picture(tmp_path / f"progress/{name}.png")
    found = list_progress(tmp_path)
    assert [*found] == ["train", "val/grid"]
    assert [describe_epoch(file) for file in found["val/grid"]] == ["epoch 1, step 10", "epoch 2, step 20"]
    assert [describe_epoch(file) for file in found["train"]] == ["epoch 10001, step 1000000"]


def test_spread_keeps_first_and_last() -> None:
    assert spread(range(100), 4) == [0, 33, 66, 99]
    assert spread(range(3), 4) == [0, 1, 2]
    assert spread(range(3), 1) == [2]


def test_a_small_file_of_a_huge_picture_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size in the header counts, before anything is unpacked; also of all pictures together."""
    Image.new("L", (300, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(embedding, "_MAX_PIXELS", 29_999)
    problems: list[str] = []
    assert Embedder(problems).embed(tmp_path / "a.png") is None
    assert "a.png cannot be shown: it has more than 29999 pixels" in problems[0]
    monkeypatch.setattr(embedding, "_MAX_PIXELS", 30_000)
    monkeypatch.setattr(embedding, "_MAX_ALL_PIXELS", 60_000)
    embedder = Embedder([])
    assert [embedder.embed(tmp_path / "a.png") is None for _ in range(3)] == [False, False, True]


def test_links_to_pictures_are_not_shown(tmp_path: Path) -> None:
    """They may be of other directories."""
    write_picture(tmp_path / "secret/epoch_0000_step_000010.png")
    (tmp_path / "run/progress").mkdir(parents=True)
    (tmp_path / "run/progress/val").symlink_to(tmp_path / "secret")
    (tmp_path / "run/progress/epoch_0000_step_000010.png").symlink_to(tmp_path / "secret/epoch_0000_step_000010.png")
    assert [*list_progress(tmp_path / "run")] == ["."]
    problems: list[str] = []
    assert Embedder(problems).embed(tmp_path / "run/progress/epoch_0000_step_000010.png") is None
    assert "it is a link" in problems[0]

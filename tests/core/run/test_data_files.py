"""environment.json tells which data files a run could read, within limits."""

import hashlib
import os
from pathlib import Path

import pytest
import pytorch_lightning as pl

from project.core.config.construction import Component
from project.core.data.datamodule import DataModule
from project.core.run import data_files
from project.core.run.data_files import describe_data
from project.datasets.base import Dataset


class InDirectory(Dataset):
    """Dataset with files in the directory of the data."""

    def __init__(self, path: str = "default.bin", split: str = "train", data_dir: str = ".") -> None: ...


class Anywhere(Dataset):
    """Dataset with a path of its own."""

    def __init__(self, root: str = "", split: str = "train", more_paths: list[str] | None = None) -> None: ...


class Own(pl.LightningDataModule):
    """Data module of the user."""

    def __init__(self, data_dir: str = ".") -> None: ...


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with files, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.bin", "default.bin", "pictures/0/x.png", "pictures/1/y.png", "pictures/.cache/z.bin", "train/t"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def describe(*components: tuple[type, dict[str, object]]) -> dict[str, list[str]]:
    """Return the paths of what is found in the arguments of components of `data`."""
    found = describe_data([Component("data.train", cls, arguments) for cls, arguments in components])
    assert not found["left_out"]
    return {key: list(found[key]) for key in ("files", "directories")}


def test_a_file_has_size_time_and_checksum(data: Path) -> None:
    (found,) = describe_data([Component("data.train", Anywhere, {"root": "a.bin"})])["files"].items()
    os.utime(data / "a.bin", (0, 1.5))
    (again,) = describe_data([Component("data.train", Anywhere, {"root": "a.bin"})])["files"].items()
    assert found[0] == "a.bin"
    assert found[1]["size"] == 5
    assert found[1]["sha256"] == hashlib.sha256(b"a.bin").hexdigest()
    assert again[1] == found[1] | {"modified": "1970-01-01T00:00:01.500000+00:00"}


def test_arguments_that_are_paths_are_found(data: Path) -> None:
    """A default is used, too; of a dataset that looks in data_dir, each text may be a name in it."""
    assert describe((InDirectory, {"path": "a.bin", "split": "none", "data_dir": str(data)})) == {
        "files": [str(data / "a.bin")],
        "directories": [],
    }
    assert describe((InDirectory, {"split": "none", "data_dir": "."}))["files"] == ["default.bin"]
    assert describe((InDirectory, {"path": str(data / "a.bin"), "split": "none"}))["files"] == [str(data / "a.bin")]
    assert describe((Anywhere, {"root": "a.bin", "split": "train"}))["files"] == ["a.bin"]
    assert describe((Anywhere, {"split": "train"})) == {"files": [], "directories": []}
    assert describe((Anywhere, {"root": "a\0b"}), (Anywhere, {"root": "x" * 5000}))["files"] == []


def test_the_whole_directory_is_seen_if_only_the_code_knows_the_files(data: Path) -> None:
    (data / "default.bin").unlink()
    assert list(describe((InDirectory, {"split": "none", "data_dir": "pictures"}))["directories"]) == ["pictures"]
    assert list(describe((Own, {"data_dir": "pictures"}))["directories"]) == ["pictures"]
    assert describe((DataModule, {"data_dir": "pictures"}))["directories"] == []
    others = describe_data([Component("model.net", Anywhere, {"root": "a.bin"})])
    assert others == {"files": {}, "directories": {}, "left_out": []}


def test_a_directory_has_a_digest_of_its_names_and_sizes(data: Path) -> None:
    """It is the same on another machine; hidden files, such as those of caches, do not matter."""
    (data / "pictures/around").symlink_to(data / "pictures")

    def digest() -> str:
        found = describe_data([Component("data.train", Anywhere, {"root": "pictures"})])
        assert list(found["files"]) == ["pictures/0/x.png", "pictures/1/y.png"]
        (directory,) = found["directories"].values()
        assert (directory["files"], directory["size"]) == (2, 32)
        return str(directory["names_and_sizes"])

    first = digest()
    (data / "pictures/.cache/new.bin").touch()
    os.utime(data / "pictures/0/x.png", (0, 0))
    assert digest() == first
    (data / "pictures/0/x.png").rename(data / "pictures/0/w.png")
    found = describe_data([Component("data.train", Anywhere, {"root": "pictures"})])
    assert found["directories"]["pictures"]["names_and_sizes"] != first


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("_MAX_SEEN", 3, "pictures: what comes after the first 3 files"),
        ("_MAX_SECONDS", -1.0, "pictures: what comes after the first -1 s"),
        ("_MAX_LISTED", 1, "size and time of each file after the first 1"),
        ("_MAX_HASHED_TOGETHER", 16, "sha256 of some files"),
    ],
)
def test_what_is_left_out_is_said(
    limit: str, value: float, said: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start must not wait for a directory of a million files, and what was not seen must not look equal."""
    monkeypatch.setattr(data_files, limit, value)
    found = describe_data([Component("data.train", Anywhere, {"root": "pictures"})])
    assert found["left_out"] == [said]
    is_whole = limit in ("_MAX_LISTED", "_MAX_HASHED_TOGETHER")
    assert (found["directories"]["pictures"]["names_and_sizes"] is not None) == is_whole
    assert len(found["files"]) == (0 if limit == "_MAX_SECONDS" else 2 if limit == "_MAX_HASHED_TOGETHER" else 1)


def test_large_and_special_files_are_not_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe would block the start."""
    monkeypatch.setattr(data_files, "_MAX_HASHED", 4)
    os.mkfifo(data / "pictures/pipe")
    paths = ["a.bin", "pictures"]
    found = describe_data([Component("data.train", Anywhere, {"more_paths": paths})])["files"]
    assert found == {}  # more_paths is no name of a path
    found = describe_data([Component("data.train", InDirectory, {"path": paths, "split": "-"})])["files"]
    assert [*found] == ["a.bin", "pictures/pipe", "pictures/0/x.png", "pictures/1/y.png"]
    assert {file["sha256"] for file in found.values()} == {None}


def test_what_cannot_be_read_is_said(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other files are seen still; root may read all, so the error is made."""
    (data / "pictures/0/broken.png").symlink_to("nothing")
    whole = Path.open

    def refuse(path: Path, mode: str) -> object:
        if path.name == "x.png":
            raise PermissionError(13, "Permission denied")
        return whole(path, mode)

    monkeypatch.setattr(Path, "open", refuse)
    found = describe_data([Component("data.train", Anywhere, {"root": "pictures"})])
    assert found["left_out"] == [
        "pictures/0/broken.png: No such file or directory",
        "pictures/0/x.png: Permission denied",
    ]
    assert [file["sha256"] is None for file in found["files"].values()] == [True, False]

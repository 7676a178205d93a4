"""Reading of files that anybody may have written: no links, pipes, or more than fits."""

import json
import os
from pathlib import Path

import pytest

from project.study.files import check_regular, list_directories, list_files, parse_json, walk


def test_only_regular_files_of_some_size_are_read(tmp_path: Path) -> None:
    """A pipe would never end, a link could show another file, and a sparse file fills the memory."""
    (tmp_path / "file").write_text("abc")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert check_regular(tmp_path / "file", 3) == 3
    for name, problem in {"link": "a link", "directory": "a directory", "pipe": "no regular file"}.items():
        with pytest.raises(OSError, match=f"it is {problem}"):
            check_regular(tmp_path / name)
    os.truncate(tmp_path / "file", 1 << 40)
    with pytest.raises(OSError, match="it has more than 2 MB"):
        check_regular(tmp_path / "file", 2_000_000)


def test_directories_are_listed_without_links(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/x.png").touch()
    (tmp_path / "a/y.png").symlink_to("x.png")
    (tmp_path / "a/loop").symlink_to("..")
    (tmp_path / "link").symlink_to("a")
    assert list_files(tmp_path / "a", ".png") == [tmp_path / "a/x.png", tmp_path / "a/y.png"]
    assert list_files(tmp_path / "link", "") == list_files(tmp_path / "missing", "") == []
    assert list_directories(tmp_path) == [tmp_path / "a"]
    assert [*walk(tmp_path)] == [tmp_path, tmp_path / "a", tmp_path / "a/b"]


def test_numbers_and_levels_of_json_are_bounded() -> None:
    """A number that is no float, or a level too deep to show, would be an error far from the file."""
    for text in ("9" * 301, '{"a": [' + "9" * 301 + "]}"):
        with pytest.raises(ValueError, match="more than 300 digits"):
            parse_json(text)
    with pytest.raises(RecursionError):
        parse_json("[" * 60 + "]" * 60)
    value = {"a": [1, 2.5, {"b": None}], "c": int("9" * 300)}
    assert parse_json(json.dumps(value)) == value

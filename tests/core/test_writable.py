"""A directory that results cannot be written to is refused before they are computed."""

import os
from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.core.writable import check_writable


@pytest.mark.parametrize("name", ["", "new", "new/deep"])
def test_new_directory_is_allowed(name: str, tmp_path: Path) -> None:
    check_writable(tmp_path / name)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["file", "file/new", "new/" + "x" * 300, "a\0b"])
def test_directory_that_cannot_be_created_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=rf"^results cannot be written to {tmp_path}/{name}: .*; set --results_dir$"):
        check_writable(tmp_path / name)
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


def test_read_only_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ConfigError, match=f"^results cannot be written to {tmp_path}: it is read-only; set --results_"):
        check_writable(tmp_path)

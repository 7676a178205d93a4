"""Digests change with the code and data of a sweep, and with nothing else."""

import os
from pathlib import Path

import pytest

from project.study.sweep import digest
from project.study.sweep.digest import describe_changes, digest_code, digest_data


def test_code_counts_by_name_and_content(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    found = {digest_code([package])}
    (package / "notes.txt").write_text("no code")
    assert digest_code([package]) in found
    (package / "a.py").write_text("x = 2")
    found.add(digest_code([package]))
    (package / "a.py").rename(package / "b.py")
    found.add(digest_code([package]))
    assert len(found) == 3


def test_data_counts_by_name_size_and_time(tmp_path: Path) -> None:
    experiment = {"data": {"data_dir": str(tmp_path / "data"), "train": {"data_dir": str(tmp_path / "none")}}}
    file = tmp_path / "data/inner/a.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"one")
    os.utime(file, ns=(0, 1))
    found = {digest_data(experiment)}
    file.write_bytes(b"two")
    os.utime(file, ns=(0, 1))
    assert digest_data(experiment) in found
    os.utime(file, ns=(0, 2))
    found.add(digest_data(experiment))
    file.rename(file.with_name("b.bin"))
    found.add(digest_data(experiment))
    (file.parent / "broken").symlink_to("nowhere")
    assert digest_data(experiment) in found
    assert len(found) == 3


def test_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of files on a shared disk would take longer than a run."""
    for name in "abc":
        (tmp_path / name).touch()
    monkeypatch.setattr(digest, "_MAX_FILES", 2)
    assert [name for name, _, _ in digest._describe(tmp_path)] == ["a", "b"]


def test_changes_are_counted() -> None:
    now = {"code": "b", "data": "c"}
    earlier = [now, {**now, "code": "x"}, {"code": "y", "data": "z"}, {}]
    assert describe_changes(earlier, now) == "2 in code, 1 in data"
    assert describe_changes([now], now) == ""

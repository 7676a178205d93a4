import errno
import os
import sys
from pathlib import Path
from typing import IO, Any, cast

import pytest
import torch

from project.core import direct_file
from project.core.direct_file import DirectFile

ROOM = direct_file._ROOM
PIECES = {"none": [], "small": [b"a", b"", b"bc"], "whole": [b"x" * ROOM], "large": [b"1" * 5, b"2" * (2 * ROOM), b"3"]}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_the_bytes(pieces: list[bytes], tmp_path: Path) -> None:
    with DirectFile(tmp_path / "file") as file:
        assert [file.write(memoryview(piece)) for piece in pieces] == [len(piece) for piece in pieces]
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def test_what_torch_saves(tmp_path: Path) -> None:
    saved = {"a": torch.rand(1100, 1000), "empty": torch.zeros(0), "text": "b"}
    with DirectFile(tmp_path / "file") as file:
        torch.save(saved, cast(IO[bytes], file))
    loaded = torch.load(tmp_path / "file", weights_only=True)
    assert torch.equal(loaded["a"], saved["a"])
    assert loaded["empty"].shape == (0,)
    assert loaded["text"] == "b"


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux writes past the cache")


@on_linux
def test_a_file_system_with_only_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_flags = direct_file.fcntl.fcntl

    def refuse(file: Any, command: int, flags: int = 0) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return set_flags(file, command, flags)

    monkeypatch.setattr(direct_file.fcntl, "fcntl", refuse)
    write_and_read(tmp_path / "file", ROOM + 3)


@on_linux
def test_a_file_system_that_refuses_the_first_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags, refused, write = [0], list[int](), os.write

    def set_flags(file: Any, command: int, wanted: int = 0) -> int:
        flags.append(wanted if command == direct_file.fcntl.F_SETFL else flags[-1])
        return flags[-1]

    def refuse(file: int, data: Any) -> int:
        if flags[-1] & os.O_DIRECT:
            refused.append(len(data))
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return write(file, data)

    monkeypatch.setattr(direct_file.fcntl, "fcntl", set_flags)
    monkeypatch.setattr(direct_file.os, "write", refuse)
    write_and_read(tmp_path / "file", ROOM + 3)
    assert refused == [ROOM]


def test_it_is_on_the_disk_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, write = list[str](), os.write
    monkeypatch.setattr(direct_file.os, "write", lambda *given: done.append("write") or write(*given))
    monkeypatch.setattr(direct_file.os, "fsync", lambda file: done.append(f"sync {os.fstat(file).st_size}"))
    write_and_read(tmp_path / "file", ROOM + 3)
    assert done == ["write", "write", f"sync {ROOM + 3}"]


def write_and_read(path: Path, size: int) -> None:
    content = torch.arange(size).byte().numpy().tobytes()
    with DirectFile(path) as file:
        file.write(content)
    assert path.read_bytes() == content


def test_a_failure_comes_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(direct_file.os, "write", full)
    with pytest.raises(OSError, match="No space left"), DirectFile(tmp_path / "file") as file:
        file.write(b"x" * ROOM)

"""The largest picture is a size that the net takes, and at which the memory was measured."""

import subprocess
import sys
from pathlib import Path

import pytest

from project.deploy import memory
from project.deploy.model_card import Length
from tests.deploy.onnx_files import CARD, card_with, write_model

FIXED = Length(1, 1)


def sizes(path: Path, capsys: pytest.CaptureFixture[str], seconds: float = 60.0) -> list[int]:
    """Return what is printed for a model."""
    memory.print_sizes(path, seconds)
    return [int(line) for line in capsys.readouterr().out.split()]


@pytest.mark.parametrize(
    ("length", "expected"),
    [(Length(4, 12, 2), [12]), (Length(4, 100, 4), [64, 80, 96, 100]), (Length(1, 80), [64, 77, 80])],
)
def test_sizes_grow_up_to_the_largest_that_is_allowed(
    length: Length, expected: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = card_with(shapes={**CARD.shapes, "image": (FIXED, length, length)})
    assert sizes(write_model(tmp_path / "model.onnx", card), capsys) == expected


def test_memory_and_time_are_limited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "model.onnx", card_with(shapes={**CARD.shapes, "image": (FIXED, Length(), Length())}))
    assert sizes(path, capsys, seconds=0) == [64]
    used = iter([10**9 - 1, 10**9, 10**9 + 1])
    monkeypatch.setattr(memory, "_peak_memory", lambda: next(used))
    assert sizes(path, capsys) == [64, 77]


@pytest.mark.slow
def test_memory_is_not_that_of_the_process_that_started_this_one() -> None:
    """The kernel's own record of the most memory is inherited."""
    block = bytearray(b"1" * 2**28)
    code = f"from {memory.__name__} import _peak_memory; a = bytearray(b'1' * 2**26); print(_peak_memory())"
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 2**26 < peak < len(block)


def test_only_pictures_of_any_size_are_measured() -> None:
    assert memory.free_pictures(CARD) == ["image"]
    assert memory.free_pictures(card_with(shapes={**CARD.shapes, "image": (FIXED, Length(8, 8), Length(4))})) == []

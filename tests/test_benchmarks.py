"""They take minutes; here it is seen only that each can begin."""

import importlib
import sys

import pytest

from benchmarks.__main__ import NAMES, machine, main


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_how_it_is_called(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in str(module.__doc__)


def test_an_unknown_benchmark(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "trainig"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "no benchmark is called trainig; known: " in capsys.readouterr().err


def test_the_machine_is_told() -> None:
    assert " cores, " in machine()
    assert "torch " in machine()

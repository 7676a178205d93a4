"""Benchmarks take minutes; these tests only check that they can be imported and called."""

import importlib
import sys

import pytest

from benchmarks.__main__ import NAMES, machine, main


@pytest.mark.parametrize("name", NAMES)
def test_docstring_shows_the_command(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in str(module.__doc__)


def test_unknown_benchmark_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "trainig"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "no benchmark is called trainig; known: " in capsys.readouterr().err


def test_machine_lists_cores_and_versions() -> None:
    assert " cores, " in machine()
    assert "torch " in machine()

"""They take minutes; here it is seen only that each can begin."""

import importlib
import subprocess
import sys

import pytest

from benchmarks.__main__ import NAMES, machine
from tests.conftest import CONFIGS


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_how_it_is_called(name: str) -> None:
    module = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in str(module.__doc__)


def test_an_unknown_benchmark() -> None:
    command = [sys.executable, "-m", "benchmarks", "trainig"]
    ran = subprocess.run(command, cwd=CONFIGS.parent, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "no benchmark is called trainig; known: " in ran.stderr


def test_the_machine_is_told() -> None:
    assert " cores, " in machine()
    assert "torch " in machine()

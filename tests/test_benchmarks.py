"""They take minutes; here it is seen only that each can begin."""

import importlib
import sys

import pytest

from benchmarks import gpu
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


@pytest.mark.slow
def test_the_gpus_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What it measures is of no use; that it can be measured is seen."""
    small = {"COUNT": 8, "BATCH": 4, "SIDE": 32, "WORKERS": 0, "EPOCHS": 4, "DEVICE": "cpu"}
    for name, value in {"NETS": {"ViT-S/16": "ViT"}, **small}.items():
        monkeypatch.setattr(gpu, name, value)
    gpu.measure(rounds=1)
    lines = [line for line in capsys.readouterr().out.splitlines() if " ratio " in line]
    assert [line.split("plain")[0].strip() for line in lines] == ["ViT-S/16", "ViT-S/16, compiled"]

import runpy
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import CONFIGS, Cli

SCRIPT = runpy.run_path(str(CONFIGS.parent / "scripts/compare_runs.py"))


def compared(capfd: pytest.CaptureFixture[str], *paths: str) -> tuple[int, list[str]]:
    code: Any = SCRIPT["compare"](list(paths))
    return code, capfd.readouterr().out.splitlines()


@pytest.fixture
def runs(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny()
    for name, seed in (("one", "0"), ("same", "0"), ("other", "1")):
        assert cli("fit", "--config", config, "--name", name, "--seed", seed).code == 0
    assert cli("fit", "--config", config, "--name", "wide", "--model.net.hidden", "9").code == 0


def test_the_same(runs: None, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = compared(capfd, "experiments/one", "experiments/same/checkpoints/best.ckpt")
    assert (code, lines[0]) == (0, "config  name: one | same")
    assert len(lines) == 2
    assert lines[1].endswith("tensors equal, at steps 2 and 2")


def test_other_weights(runs: None, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = compared(capfd, "experiments/one", "experiments/other")
    assert code == 1
    assert "config  seed: 0 | 1" in lines
    assert any(line.startswith("weights net.head.weight: at most 0.") for line in lines)


def test_other_shapes(runs: None, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines = compared(capfd, "experiments/one", "experiments/wide")
    assert code == 1
    assert "config  model.net.hidden: 8 | 9" in lines
    assert "weights net.head.weight: (10, 8) torch.float32 | (10, 9) torch.float32" in lines

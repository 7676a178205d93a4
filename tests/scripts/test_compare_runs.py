"""compare_runs.py reports equal and other weights, and the settings that differ."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CONFIGS, Cli

SCRIPT = runpy.run_path(str(CONFIGS.parent / "scripts/compare_runs.py"))


def compared(capfd: pytest.CaptureFixture[str], *paths: str) -> tuple[int, list[str]]:
    code: Any = SCRIPT["compare"](list(paths))
    return code, capfd.readouterr().out.splitlines()


@pytest.fixture
def train(cli: Cli, tiny: Callable[..., str]) -> Callable[..., None]:
    """Return a function that trains a run of a name; the run `one` is trained."""
    config = tiny()

    def run(name: str, *argv: str) -> None:
        assert cli("fit", "--config", config, "--name", name, *argv).code == 0

    run("one")
    return run


def test_equal_weights_exit_with_0(train: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    train("same")
    code, lines = compared(capfd, "experiments/one", "experiments/same/checkpoints/best.ckpt")
    assert (code, lines[0]) == (0, "config  name: one | same")
    assert len(lines) == 2
    assert lines[1].endswith("tensors equal, at steps 2 and 2")


def test_other_weights_are_listed_with_their_difference(
    train: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    train("other", "--seed", "1")
    code, lines = compared(capfd, "experiments/one", "experiments/other")
    assert code == 1
    assert "config  seed: 0 | 1" in lines
    assert any(line.startswith("weights net.head.weight: at most 0.") for line in lines)


@pytest.mark.parametrize(
    ("path", "message"), [("none", "none does not exist"), ("empty", "empty contains no checkpoint")]
)
def test_missing_checkpoint_is_named(
    path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert SCRIPT["compare"]([path, path]) == 2
    assert capfd.readouterr().err.startswith(f"error: {message}")


def test_other_shapes_are_listed(train: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    train("wide", "--model.net.hidden", "9")
    code, lines = compared(capfd, "experiments/one", "experiments/wide")
    assert code == 1
    assert "config  model.net.hidden: 8 | 9" in lines
    assert "weights net.head.weight: (10, 8) torch.float32 | (10, 9) torch.float32" in lines


def test_missing_argument_exits_with_2(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 would say that the runs differ."""
    monkeypatch.setattr("sys.argv", ["compare_runs.py", "one"])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(CONFIGS.parent / "scripts/compare_runs.py"), run_name="__main__")
    assert exit.value.code == 2
    assert "python scripts/compare_runs.py experiments/digits experiments/digits_rerun" in capsys.readouterr().err

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import CONFIGS, Cli

DIGITS = str(CONFIGS / "digits.yaml")


@pytest.fixture
def fit(cli: Cli) -> Callable[..., str]:
    """Trains digits with a preset over it."""

    def run(preset: str, *argv: str) -> str:
        ran = cli("fit", "--config", DIGITS, "--config", str(CONFIGS / f"presets/{preset}.yaml"), *argv)
        assert ran.code == 0, ran.err
        return ran.err

    return run


def scalars(run: Path, name: str) -> list[float]:
    return [event.value for event in EventAccumulator(str(run / "event")).Reload().Scalars(name)]


def test_cpu(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("cpu", "--trainer.max_epochs", "1")
    assert (tmp_path / "experiments/digits/checkpoints/last.ckpt").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("preset", ["gpu", "ddp"])
def test_gpu(preset: str, fit: Callable[..., str]) -> None:
    assert "GPU available: True (cuda), used: True" in fit(preset)


def test_gpu_where_there_is_none(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    ran = cli("fit", "--config", DIGITS, "--config", str(CONFIGS / "presets/gpu.yaml"))
    assert ran.code == 2
    assert ran.err.startswith("error: trainer: ")
    assert "CUDA" in ran.err or "gpu" in ran.err
    assert not any(tmp_path.iterdir())


def test_debug(fit: Callable[..., str], tmp_path: Path) -> None:
    for _ in range(2):  # it replaces
        fit("debug", "--trainer.max_epochs", "1")
    run = tmp_path / "experiments/debug/digits"
    assert len(scalars(run, "gradient/net.head.bias")) == len(scalars(run, "train/sum")) == 19
    assert (tmp_path / "experiments/debug/.old/digits.1/checkpoints/last.ckpt").exists()


def test_overfit(fit: Callable[..., str], tmp_path: Path) -> None:
    argv = ("--model.loss.cross_entropy.label_smoothing", "0", "--data.train.augmentation", "null")
    shown = fit("overfit", *argv, "--trainer.max_epochs", "30")
    run = tmp_path / "experiments/overfit/digits"
    losses = scalars(run, "train/sum")
    assert len(losses) == 4 * 30
    assert max(losses[-4:]) < 0.02
    assert "shuffling" not in shown
    assert len(list((run / "progress/train").iterdir())) == 30


def test_profile(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("profile")
    folder = tmp_path / "experiments/profile/digits/profile"
    text = (folder / "fit-profile.txt").read_text()
    assert "aten::conv2d" in text
    assert "training_step" in text
    traces = [json.loads(path.read_text()) for path in folder.glob("*training_step*.pt.trace.json")]
    assert any("conv2d" in event.get("name", "") for trace in traces for event in trace["traceEvents"])

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import CONFIGS, Cli

# An epoch of 19 steps, on whatever device there is.
EXPERIMENT = {"visual": "tests.rooms.Row", "trainer": {"limit_train_batches": 1.0, "accelerator": "auto"}}


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str]) -> Callable[..., str]:
    """Trains with a preset over the experiment."""
    config = tiny(EXPERIMENT)

    def run(preset: str, *argv: str) -> str:
        ran = cli("fit", "--config", config, "--config", str(CONFIGS / f"presets/{preset}.yaml"), *argv)
        assert ran.code == 0, ran.err
        return ran.err

    return run


def scalars(run: Path, name: str) -> list[float]:
    return [event.value for event in EventAccumulator(str(run / "event")).Reload().Scalars(name)]


def test_cpu(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("cpu")
    assert (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("preset", ["gpu", "ddp"])
def test_gpu(preset: str, fit: Callable[..., str]) -> None:
    assert "GPU available: True (cuda), used: True" in fit(preset)


def test_gpu_where_there_is_none(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    config = tiny(EXPERIMENT)
    before = sorted(tmp_path.iterdir())
    ran = cli("fit", "--config", config, "--config", str(CONFIGS / "presets/gpu.yaml"))
    assert ran.code == 2
    assert ran.err.startswith("error: trainer: ")
    assert "CUDA" in ran.err or "gpu" in ran.err
    assert sorted(tmp_path.iterdir()) == before


def test_debug(fit: Callable[..., str], tmp_path: Path) -> None:
    for _ in range(2):  # it replaces
        fit("debug")
    run = tmp_path / "experiments/debug/tiny"
    assert len(scalars(run, "gradient/net.head.bias")) == len(scalars(run, "train/sum")) == 19
    assert (tmp_path / "experiments/debug/.old/tiny.1/checkpoints/last.ckpt").exists()


def test_overfit(fit: Callable[..., str], tmp_path: Path) -> None:
    shown = fit("overfit", "--model.net.hidden", "64", "--trainer.max_epochs", "30")
    run = tmp_path / "experiments/overfit/tiny"
    losses = scalars(run, "train/sum")
    assert len(losses) == 4 * 30
    assert max(losses[-4:]) < 0.02
    assert "shuffling" not in shown
    assert len(list((run / "progress/train").iterdir())) == 30


def test_profile(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("profile")
    folder = tmp_path / "experiments/profile/tiny/profile"
    text = (folder / "fit-profile.txt").read_text()
    assert "aten::linear" in text
    assert "training_step" in text
    traces = [json.loads(path.read_text()) for path in folder.glob("*training_step*.pt.trace.json")]
    assert any("linear" in event.get("name", "") for trace in traces for event in trace["traceEvents"])

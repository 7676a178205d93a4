"""Each preset does what its comment says, combined with an experiment."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import CONFIGS, Cli
from tests.exactness import curves

# An epoch of 19 steps, on any device.
EXPERIMENT = {"visual": "tests.components.Row", "trainer": {"limit_train_batches": 1.0, "accelerator": "auto"}}


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str]) -> Callable[..., str]:
    """Return a function that trains the experiment with a preset."""
    config = tiny(EXPERIMENT)

    def run(preset: str, *argv: str) -> str:
        ran = cli("fit", "--config", config, "--config", str(CONFIGS / f"presets/{preset}.yaml"), *argv)
        assert ran.code == 0, ran.err
        return ran.err

    return run


def test_cpu_preset_trains(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("cpu")
    assert (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("preset", ["gpu", "ddp"])
def test_gpu_presets_use_the_gpu(preset: str, fit: Callable[..., str]) -> None:
    assert "GPU available: True (cuda), used: True" in fit(preset)


def test_gpu_preset_without_a_gpu_is_an_error(
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


def test_debug_preset_logs_gradients_and_replaces_the_run(fit: Callable[..., str], tmp_path: Path) -> None:
    for _ in range(2):
        fit("debug")
    run = tmp_path / "experiments/debug/tiny"
    scalars = curves(run)
    assert len(scalars["gradient/net.head.bias"]) == len(scalars["train/sum"]) == 19
    assert (tmp_path / "experiments/debug/.old/tiny.1/checkpoints/last.ckpt").exists()


def test_overfit_preset_learns_four_batches(fit: Callable[..., str], tmp_path: Path) -> None:
    messages = fit("overfit", "--model.net.hidden", "64", "--trainer.max_epochs", "30")
    run = tmp_path / "experiments/overfit/tiny"
    losses = [value for _, value in curves(run)["train/sum"]]
    assert len(losses) == 4 * 30
    assert max(losses[-4:]) < 0.02
    assert "shuffling" not in messages
    assert len(list((run / "progress/train").iterdir())) == 30


def test_profile_preset_writes_a_table_and_traces(fit: Callable[..., str], tmp_path: Path) -> None:
    fit("profile")
    directory = tmp_path / "experiments/profile/tiny/profile"
    text = (directory / "fit-profile.txt").read_text()
    assert "aten::linear" in text
    assert "training_step" in text
    traces = [json.loads(path.read_text()) for path in directory.glob("*training_step*.pt.trace.json")]
    assert any("linear" in event.get("name", "") for trace in traces for event in trace["traceEvents"])

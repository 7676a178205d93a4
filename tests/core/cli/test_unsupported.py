"""What Lightning's callbacks and strategies need and do in a run, beside whether they work at all."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import yaml
from pytorch_lightning.strategies import DDPStrategy

from project.core.training.lightning_internals.access import set_timeout
from tests.conftest import Cli


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_each_start_method_that_copies_the_process_is_refused(
    method: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Such a run would train to its end, and fail then."""
    strategy = {"type": "DDPStrategy", "start_method": method}
    ran = cli("fit", "--config", tiny({"trainer": {"strategy": strategy, "devices": 2}}))
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: trainer.strategy starts processes by fork or spawn, which is not supported; "
        "use ddp, which repeats the command for each process",
    )
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize("backend", ["nccl", "unknown"])
def test_backend_that_is_not_available_is_refused(backend: str, cli: Cli, tiny: Callable[..., str]) -> None:
    strategy = {"type": "DDPStrategy", "process_group_backend": backend}
    ran = cli("fit", "--config", tiny({"trainer": {"strategy": strategy}}))
    message = f"trainer.strategy.process_group_backend is '{backend}', which is not available; leave it out"
    assert (ran.code, ran.err.splitlines()[-1]) == (2, f"error: {message}")


@pytest.mark.parametrize(("arguments", "seconds"), [({}, 7), ({"timeout": timedelta(seconds=5)}, 5)])
def test_timeout_of_a_strategy_has_precedence(arguments: dict[str, Any], seconds: int) -> None:
    trainer = pl.Trainer(accelerator="cpu", strategy=DDPStrategy(**arguments), logger=False, enable_checkpointing=False)
    set_timeout(trainer, timedelta(seconds=7))
    strategy: Any = trainer.strategy
    assert strategy._timeout == timedelta(seconds=seconds)


def test_checkpoint_is_evaluated_whatever_callback_trained_it(cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    over = tiny({"trainer": {"callbacks": [{"type": "StochasticWeightAveraging", "swa_lrs": 0.1}]}}, "over.yaml")
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--config", over)
    assert ran.code == 0, ran.err
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--trainer.strategy", "fsdp")
    message = "error: trainer.strategy is fsdp; models split over devices are not supported, use ddp\n"
    assert (ran.code, ran.err) == (2, message)


def test_device_stats_without_psutil_are_refused(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "pytorch_lightning.callbacks.device_stats_monitor"
    monkeypatch.setattr(f"{module}._PSUTIL_AVAILABLE", False)
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": ["DeviceStatsMonitor"]}}))
    assert ran.code == 2
    assert ran.err.splitlines()[-1].startswith(
        "error: `DeviceStatsMonitor` cannot log CPU stats as `psutil` is not inst"
    )
    assert not (tmp_path / "experiments").exists()


def test_model_checkpoint_without_loggers_keeps_the_own_checkpoints(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Its default directory would be that of the run's own checkpoints, and both write a last.ckpt."""
    trainer = {"logger": False, "callbacks": [{"type": "ModelCheckpoint", "save_last": True}]}
    ran = cli("fit", "--config", tiny({"trainer": trainer}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    own = ["best.ckpt", "epoch_0000_step_000002.ckpt", "last.ckpt"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == own
    assert (run / "checkpoints/last.ckpt").samefile(run / "checkpoints/epoch_0000_step_000002.ckpt")
    assert sorted(path.name for path in (run / "event/checkpoints").iterdir()) == ["epoch=0-step=2.ckpt", "last.ckpt"]


def test_accumulation_follows_its_schedule(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    scheduler = {"type": "GradientAccumulationScheduler", "scheduling": {0: 1, 1: 2}}
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [scheduler], "max_epochs": 2}}))
    assert ran.code == 0, ran.err
    assert (tmp_path / "experiments/tiny/checkpoints/epoch_0001_step_000003.ckpt").exists()
    saved = yaml.safe_load((tmp_path / "experiments/tiny/config.yaml").read_text())
    assert saved["trainer"]["callbacks"] == [scheduler]  # the keys are no texts


def test_loss_spike_ends_the_run_with_a_line(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    always: dict[str, Any] = {"type": "SpikeDetection", "mode": "max", "atol": 0.0, "rtol": 0.0}
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": [always], "max_epochs": 2}}))
    assert ran.code == 1
    assert "SpikeDetection: Training spike detected in batch 1; skip_batches.json lists it and the one" in ran.err
    assert "Traceback" not in ran.err
    assert json.loads((tmp_path / "experiments/tiny/skip_batches.json").read_text()) == [0, 1]

"""Start of a run: what is logged about a resume, and what is checked before anything changes."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BaseFinetuning
from torch import Tensor, nn
from torch.optim import Optimizer

from project.core.config.settings import Settings
from project.core.distributed.signals import Interruption
from project.core.errors import RunStopped
from project.core.model.module import BaseModule
from project.core.run.checkpoint_policy import CheckpointPolicy
from project.models.base import Model
from tests.conftest import Cli

HERE = "tests.core.run.test_start"


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Path:
    """Return the directory of a run whose data, module and callbacks are the user's own."""
    config = tiny(
        {
            "model": {"type": f"{HERE}.BuiltLate"},
            "data": {"type": "tests.core.components.TwoLoaders", "sizes": [4, 4]},
            "trainer": {"callbacks": [{"type": f"{HERE}.Finetuning"}]},
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    return tmp_path / "experiments/tiny"


class BuiltLate(BaseModule):
    """Module that builds its layer in `configure_model`, before which it has no weights.

    Args:
        size: number of outputs.
    """

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.size = size
        self.layer: nn.Linear | None = None

    def configure_model(self) -> None:
        if self.layer is None:
            self.layer = nn.Linear(64, self.size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        assert self.layer is not None
        loss: torch.Tensor = self.layer(batch["image"].flatten(1)).square().mean()
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int, dataloader_idx: int) -> None: ...


class Finetuning(BaseFinetuning):
    """Lightning's finetuning, of all parameters from the start."""

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None: ...

    def finetune_function(self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer) -> None: ...


class LazyNet(Model):
    """Net whose weights have no shape before its first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image.flatten(1))}


def test_net_with_lazy_layers_is_resumed(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny({"model": {"net": {"type": f"{HERE}.LazyNet"}}})).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 4


def test_resume_warns_of_what_is_not_exact(run: Path, cli: Cli) -> None:
    ran = cli("fit", "--resume", str(run), "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert f"resuming from {run}/checkpoints/last.ckpt (step 2, epoch 1)" in ran.err
    assert "data (TwoLoaders) is read from its start: resuming within an epoch is not exact" in ran.err
    assert "Finetuning does not support exact resume; the result will differ" in ran.err
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


def test_weights_that_do_not_fit_a_module_built_late_are_refused(run: Path, cli: Cli) -> None:
    ran = cli("fit", "--resume", str(run), "--model.size", "4")
    assert ran.code == 2
    errors = ran.err[ran.err.index("error:") :].splitlines()
    assert errors[0] == f"error: checkpoint {run}/checkpoints/last.ckpt does not fit this model"
    assert errors[1].startswith("size mismatch for layer.weight")
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 2


def test_ranks_that_start_at_different_steps_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that does not see the run directory of the others starts at step 0."""
    policy = CheckpointPolicy(tmp_path, Settings("x", timeout=5.0), None, Interruption())
    assert policy._reducer.timeout == timedelta(seconds=5)
    trainer: Any = SimpleNamespace(global_step=8, world_size=2)
    monkeypatch.setattr(policy._reducer, "reduce", lambda trainer, step, negative: [step, 0])
    message = "^some processes start at step 8, others at 0: the run directory must be the same on all nodes$"
    with pytest.raises(RunStopped, match=message):
        policy.on_train_start(trainer, BuiltLate())


def test_job_script_outside_a_git_repository(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    assert (
        "commit unknown (no git checkout, or one that git refuses)"
        in (tmp_path / "experiments/tiny/job.sh").read_text()
    )
    assert not (tmp_path / "experiments/tiny/git.diff").exists()

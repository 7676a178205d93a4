"""`project.replay` gives the state before a step, and repeats its loss bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import project
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import list_by_step
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves
from tests.modules.test_gan import GAN


def test_step_has_its_state_and_repeats_its_loss(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Of two accumulated batches: the loss of the last one is logged."""
    config = tiny(RANDOM | {"trainer": RANDOM["trainer"] | {"accumulate_grad_batches": 2, "max_epochs": 1}})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    logged = {name: dict(points) for name, points in curves(run).items()}
    before = torch.get_rng_state()
    step = project.replay(run, 2)
    assert len(repr(step)) < 500  # what a notebook shows
    assert torch.equal(torch.get_rng_state(), before)
    assert (len(step.batches), step.batch_idx, len(set(step.seeds))) == (2, 3, 2)
    saved = {done: path for path, done in list_by_step(run / "checkpoints").items()}
    state = torch.load(saved[1], weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in step.module.state_dict().items())
    assert step.module.training
    for _ in range(2):
        loss = step.run()
        assert float(loss.detach()) == logged["train/sum"][2] == step.logged["train/sum"]
    loss.backward()
    assert all(torch.equal(value, state[name]) for name, value in step.module.state_dict().items())
    gradient = step.module.get_parameter("net.layers.1.weight").grad
    assert gradient is not None
    assert gradient.isfinite().all()


@pytest.mark.slow
def test_modules_that_step_themselves_have_a_batch_and_no_run(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    over = RANDOM | {"model": GAN, "data": RANDOM["data"] | {"val": None}}
    assert cli("fit", "--config", tiny(over), "--trainer.max_epochs", "1").code == 0
    run = tmp_path / "experiments/tiny"
    step = project.replay(run, 4)
    state = torch.load(next(p for p, n in list_by_step(run / "checkpoints").items() if n == 2), weights_only=True)
    assert all(torch.equal(value, state["state_dict"][name]) for name, value in step.module.state_dict().items())
    assert step.batch["image"].shape == (8, 1, 8, 8)
    with pytest.raises(ConfigError, match=r"^GAN steps its optimizers in training_step"):
        step.run()

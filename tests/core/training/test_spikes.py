"""StopAtSpike: which losses stop a run, what the message says, and that it says the same in a resumed run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from project.core.errors import RunStopped
from project.core.training.spikes import StepLoss, StopAtSpike
from project.models.base import Model
from project.study.replay.replaying import replay_steps
from tests.conftest import CONFIGS, Cli
from tests.exactness import curves, differing, flat
from tests.modules.test_gan import GAN

SPIKE = 6  # the step


class Explodes(Model):
    """Net whose output in one training step is wrong and far too large.

    Args:
        step: the step, from 1.
        factor: factor of the output in it.
    """

    calls: Tensor

    def __init__(self, step: int = SPIKE, factor: float = -1000.0) -> None:
        super().__init__()
        self.layer, self.step, self.factor = nn.Linear(64, 10), step, factor
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.calls += self.training
        logits = self.layer(image.flatten(1))
        return {"logits": torch.where(self.calls == self.step, logits * self.factor, logits)}


def over(callback: dict[str, Any] | None = None, **net: Any) -> dict[str, Any]:
    """Return settings of a run of ten steps whose sixth loss is a spike."""
    return {
        "model": {"net": {"type": "tests.core.training.test_spikes.Explodes"} | net},
        "checkpoint": {"every_n_steps": 1},
        "trainer": {
            "max_epochs": 2,
            "limit_train_batches": 5,
            "log_every_n_steps": 1,
            "callbacks": [{"type": "StopAtSpike", "factor": 3, "window": 4} | (callback or {})],
        },
    }


def test_spike_stops_the_run_and_can_be_replayed_and_left_out(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The message has the step, loss, median and samples; its commands work."""
    ran = cli("fit", "--config", tiny(over()))
    assert ran.code == 1
    assert "Traceback" not in ran.err
    message = ran.err[ran.err.index(f"step {SPIKE}: ") :]
    first, replay, skip = message.splitlines()
    told = re.fullmatch(
        rf"step {SPIKE}: the loss is (\S+), more than 3 times the median of the 4 steps before it \((\S+)\); "
        rf"its samples are (\d+(?:, \d+){{63}}); the state after step {SPIKE + 1} is in (\S+)",
        first,
    )
    assert told is not None, first
    run = tmp_path / "experiments/tiny"
    assert told[4] == str(run / "spike.ckpt")
    assert torch.load(told[4], weights_only=True)["global_step"] == SPIKE + 1
    assert replay == f"Replay it: python cli.py replay experiments/tiny --step {SPIKE}"
    logged = dict(curves(run)["train/sum"])
    assert float(told[1]) == pytest.approx(logged[SPIKE], rel=1e-5)
    before = sorted(logged[step] for step in range(SPIKE - 4, SPIKE))
    assert float(told[2]) == pytest.approx(before[1], rel=1e-5)  # torch's median is the lower one of two

    again = replay_steps(run, SPIKE, SPIKE, states=[SPIKE])  # the callback does not stop it before its last step
    assert again.states[SPIKE]["global_step"] == SPIKE

    prefix = "Leave it out, or it stops the run again: python cli.py "
    assert skip == (
        f"{prefix}fit --resume experiments/tiny/checkpoints/epoch_0000_step_000005.ckpt --skip_steps '[{SPIKE}]'"
    )
    ran = cli(*skip.removeprefix(prefix).replace("'", "").split())
    assert ran.code == 1  # the net counts its calls: the next step explodes in place of the one that was left out
    assert f"step {SPIKE + 1}: the loss is " in ran.err
    assert f"--skip_steps '[{SPIKE}, {SPIKE + 1}]'" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("last", [5, 6])
def test_resumed_run_stops_at_the_same_step(last: int, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Also if the checkpoint was saved after the spike: what was not looked at is in it, as is the window."""
    config = tiny(over() | {"checkpoint": {"every_n_steps": 1, "keep": -1}})
    first = cli("fit", "--config", config)
    run = tmp_path / "experiments/tiny"
    shutil.copy(run / "spike.ckpt", tmp_path)
    (checkpoint,) = (run / "checkpoints").glob(f"*_step_{last:06d}.ckpt")
    ran = cli("fit", "--resume", str(checkpoint))
    assert ran.code == 1
    start = f"step {SPIKE}: "
    one, two = (text[text.index(start) :].splitlines()[0] for text in (first.err, ran.err))
    assert one.replace(str(tmp_path), "") == two.replace(str(tmp_path), "")
    states = [torch.load(file / "spike.ckpt", weights_only=True) for file in (tmp_path, run)]
    leaves = [flat({key: state[key] for key in ("state_dict", "callbacks")}) for state in states]
    assert [path for path in differing(*leaves) if "StopAtSpike" in path or "state_dict" in path] == []


@pytest.mark.parametrize(
    ("net", "callback", "message"),
    [
        ({"factor": -1e39, "step": 2}, {}, "step 2: the loss is nan; its samples are "),
        ({"step": 10}, {}, "step 10: the loss is "),  # the last step of the run
        pytest.param({"step": 3}, {"window": 4}, "", marks=pytest.mark.slow),  # before there are so many losses
        pytest.param({"factor": 1.0}, {}, "", marks=pytest.mark.slow),
    ],
    ids=["not finite", "in the last step", "before the window is full", "of less than the factor"],
)
def test_which_losses_are_spikes(
    net: dict[str, Any], callback: dict[str, Any], message: str, cli: Cli, tiny: Callable[..., str]
) -> None:
    ran = cli("fit", "--config", tiny(over(callback, **net)))
    assert ran.code == bool(message), ran.err
    assert message in ran.err


def test_loss_of_accumulated_batches_is_their_mean(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Of three steps in two epochs of five batches; the samples are those of all batches of the step."""
    settings = over({"window": 2})
    settings["trainer"] |= {"accumulate_grad_batches": 2}
    ran = cli("fit", "--config", tiny(settings))
    assert ran.code == 1
    assert "step 3: the loss is " not in ran.err
    told = re.search(r"step 4: the loss is (\S+), .* its samples are ([^;]*);", ran.err)
    assert told is not None, ran.err
    assert len(told[2].split(",")) == 128


def test_negative_losses_have_a_limit_above_them() -> None:
    """A multiple of a negative median would be below it."""
    callback, trainer = StopAtSpike(3, 2), pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    for loss in (-1.0, -1.2, 0.5):
        callback._raise_if_spike(trainer)
        callback._last = callback._compare(trainer, torch.tensor(loss))
    callback._raise_if_spike(trainer)
    callback._last = callback._compare(trainer, torch.tensor(2.0))
    with pytest.raises(RunStopped, match=r"the loss is 2, more than 3 times the median of the 2 steps before it \(-1"):
        callback._raise_if_spike(trainer)


@pytest.mark.parametrize(("processes", "samples"), [(1, [[3, 4]]), (2, [])])
def test_samples_in_a_checkpoint_are_those_of_one_process(processes: int, samples: list[list[int]]) -> None:
    """A resumed run of several processes would name them as those of all."""
    before, callback = StopAtSpike(3, 2), StopAtSpike(3, 2)
    before._last = StepLoss(7, torch.tensor([2.0, 1.0]), [torch.tensor([3, 4])])
    callback.load_state_dict(before.state_dict())
    trainer: Any = SimpleNamespace(world_size=processes)
    callback.on_train_start(trainer, pl.LightningModule())
    assert callback._last is not None
    assert [each.tolist() for each in callback._last.samples] == samples


def test_manual_optimization_needs_a_returned_loss(cli: Cli, tiny: Callable[..., str]) -> None:
    """Without one, configs/presets/debug.yaml must be of use all the same."""
    data = {"val": None}
    trainer = {"limit_train_batches": 2, "callbacks": [{"type": "StopAtSpike"}]}
    ran = cli("fit", "--config", tiny({"model": GAN, "data": data, "trainer": trainer}))
    assert ran.code == 0
    assert ran.err.count("StopAtSpike looks at no loss: `training_step` of GAN returns none") == 1


@pytest.mark.slow
def test_processes_stop_together_and_name_all_samples(tiny: Callable[..., str], tmp_path: Path) -> None:
    """The loss is the mean over them."""
    settings = over()
    settings["trainer"] |= {"strategy": "ddp"}
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", tiny(settings)]
    command += ["--trainer.devices", "2", "--root", "experiments"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    told = re.search(rf"step {SPIKE}: the loss is .* its samples are ([^;]*);", done.stderr)
    assert told is not None, done.stderr
    assert len(set(told[1].split(", "))) == 64
    assert torch.load(tmp_path / "experiments/tiny/spike.ckpt", weights_only=True)["global_step"] == SPIKE + 1


@pytest.mark.slow
def test_trial_saves_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Nothing can be replayed then."""
    settings = over(step=2, factor=-1e39)
    settings["trainer"] |= {"fast_dev_run": 3}
    ran = cli("fit", "--config", tiny(settings))
    assert ran.code == 1
    assert "step 2: the loss is " in ran.err
    assert "replay" not in ran.err
    assert not (tmp_path / "experiments").exists()


def test_debug_preset_has_the_callback(cli: Cli, tiny: Callable[..., str]) -> None:
    """Before a non-finite loss changes weights, NonFiniteStop has stopped the run."""
    config = tiny(over(step=2, factor=-1e39) | {"trainer": {"limit_train_batches": 5}})
    ran = cli("fit", "--config", config, "--config", str(CONFIGS / "presets/debug.yaml"))
    assert ran.code == 1
    assert "non_finite.ckpt" in ran.err
    printed = cli("fit", "--config", config, "--config", str(CONFIGS / "presets/debug.yaml"), "--print_config").out
    assert "StopAtSpike" in printed

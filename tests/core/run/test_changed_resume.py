"""A resume with other settings of optimizer and scheduler, from the command line."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, lr_scheduler

from tests.components import MLP
from tests.conftest import Cli, slow_except
from tests.core.components import IndexImages
from tests.exactness import differing, outcome
from tests.modules.test_gan import GAN

HERE = "tests.core.run.test_changed_resume"


class Same(IndexImages):
    """Dataset of equal samples, whose batches do not depend on their order."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.linspace(0, 1, 64).view(1, 8, 8), "label": torch.tensor(3)}


STEPS: dict[str, Any] = {
    "model": {
        "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
        "scheduler": {"type": "StepLR", "step_size": 3, "gamma": 0.5},
        "interval": "step",
    },
    "data": {"batch_size": 4, "train": {"type": f"{HERE}.Same", "length": 16}, "val": None},
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "trainer": {"limit_train_batches": 1.0, "max_epochs": 2},
}


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Path:
    """Return the directory of a finished run of 8 steps, with a schedule by step."""
    ran = cli("fit", "--config", tiny(STEPS))
    assert ran.code == 0, ran.err
    return tmp_path / "experiments/tiny"


def load(run: Path, name: str = "last") -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)
    return loaded


def train_reference(checkpoint: dict[str, Any], lr: float, steps: int) -> dict[str, Tensor]:
    """Continue a checkpoint in plain torch, with another learning rate; return the weights."""
    net = MLP(64, 10, hidden=8)
    net.load_state_dict({name.removeprefix("net."): value for name, value in checkpoint["state_dict"].items()})
    optimizer = SGD(net.parameters(), lr=lr, momentum=0.9)
    scheduler = lr_scheduler.StepLR(optimizer, 3, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the optimizer does not step before
        for _ in range(checkpoint["global_step"]):
            scheduler.step()
    state = {
        "state": checkpoint["optimizer_states"][0]["state"],
        "param_groups": optimizer.state_dict()["param_groups"],
    }
    optimizer.load_state_dict(state)
    batch = torch.stack([Same()[0]["image"]] * 4)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(batch)["logits"], torch.full((4,), 3)).backward()
        optimizer.step()
        scheduler.step()
    return {f"net.{name}": value for name, value in net.state_dict().items()}


@pytest.mark.parametrize("name", ["tiny", "branch"])
def test_changed_learning_rate_trains_as_in_plain_torch(name: str, run: Path, cli: Cli) -> None:
    """Also under a new name; later resumes have nothing to apply, and the same bits."""
    checkpoint = run / "checkpoints/epoch_0000_step_000004.ckpt"
    content = load(run, checkpoint.stem)
    ran = cli("fit", "--resume", str(checkpoint), "--name", name, "--model.optimizer.lr", "0.4")
    assert ran.code == 0, ran.err
    text = "changed settings of SGD and StepLR: lr is 0.4, was 0.1; the next learning rate is 0.2 instead of 0.05\n"
    assert ran.err.count(text) == 1
    changed = run.parent / name
    saved = load(changed)
    assert saved["global_step"] == 8
    assert differing(saved["state_dict"], train_reference(content, 0.4, 4)) == []
    assert differing(saved["state_dict"], train_reference(content, 0.1, 4)) != []
    uninterrupted = outcome(changed)
    ran = cli("fit", "--resume", str(changed / "checkpoints/epoch_0001_step_000006.ckpt"))
    assert ran.code == 0, ran.err
    assert "changed settings" not in ran.err
    assert differing(uninterrupted, outcome(changed)) == []


@pytest.mark.parametrize("interval", slow_except(["step", "epoch"], "step"))
@pytest.mark.parametrize("name", slow_except(["WarmupCosine", "Poly"], "WarmupCosine"))
def test_schedule_over_the_whole_run_is_extended_with_it(
    name: str, interval: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Otherwise the additional epochs would have the learning rate 0."""
    config = tiny(STEPS | {"model": {"scheduler": {"type": name}, "interval": interval, "optimizer": {"lr": 0.1}}})
    assert cli("fit", "--config", config, "--name", "whole", "--trainer.max_epochs", "4").code == 0
    assert cli("fit", "--config", config).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "4")
    assert ran.code == 0, ran.err
    total = {"step": (16, 8), "epoch": (4, 2)}[interval]
    assert f"changed settings of AdamW and {name}: total is {total[0]}, was {total[1]}; the next" in ran.err
    extended, whole = (load(tmp_path / "experiments" / run)["lr_schedulers"][0] for run in ("tiny", "whole"))
    assert differing(extended, whole) == []


@pytest.mark.parametrize(
    "options",
    slow_except(
        [
            ["--data.batch_size", "2"],
            ["--trainer.accumulate_grad_batches", "2"],
            ["--trainer.limit_train_batches", "3"],
        ],
        ["--data.batch_size", "2"],
    ),
)
def test_length_in_steps_is_not_guessed_if_epochs_have_other_steps(
    options: list[str], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The steps done are those of the old epochs: the learning rate would be 0 too early, or never."""
    config = tiny(STEPS | {"model": {"scheduler": {"type": "Poly"}, "interval": "step"}})
    assert cli("fit", "--config", config).code == 0
    argv = ["--resume", "experiments/tiny", "--trainer.max_epochs", "3", *options]
    ran = cli("fit", *argv)
    message = "Poly takes its length from the number of steps per epoch; set --model.scheduler.total, in steps"
    assert (ran.code, ran.err.splitlines()[-1]) == (2, f"error: --resume cannot change {options[0][2:]}: {message}")
    ran = cli("fit", *argv, "--model.scheduler.total", "16")
    assert ran.code == 0, ran.err
    assert load(tmp_path / "experiments/tiny")["lr_schedulers"][0]["total"] == 16


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "path"),
    [
        ({"type": "Warmup", "length": 2, "after": "Poly"}, "after.total"),
        ({"type": "SequentialLR", "schedulers": ["ConstantLR", "Poly"], "milestones": [2]}, "schedulers.1.total"),
    ],
)
def test_length_of_a_schedule_in_another_is_not_guessed_either(
    scheduler: dict[str, Any], path: str, cli: Cli, tiny: Callable[..., str]
) -> None:
    config = tiny(STEPS | {"model": {"scheduler": scheduler, "interval": "step"}})
    assert cli("fit", "--config", config).code == 0
    ran = cli("fit", "--resume", "experiments/tiny", "--trainer.max_epochs", "3", "--data.batch_size", "2")
    assert ran.code == 2
    assert ran.err.endswith(f"set --model.scheduler.{path}, in steps\n")


def test_groups_that_stay_are_no_change(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The options are texts: `freeze: false` is not true."""
    groups = "[{match: net.head.*, lr: %s, freeze: false}]"
    assert cli("fit", "--config", tiny({"data": {"val": None}}), "--model.groups", groups % 0.5).code == 0
    argv = ["--resume", "experiments/tiny", "--trainer.max_epochs", "2", "--model.groups"]
    assert cli("fit", *argv, groups % 0.2).code == 0
    assert load(tmp_path / "experiments/tiny")["optimizer_states"][0]["param_groups"][1]["lr"] == 0.2


def test_settings_of_groups_are_applied(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    groups = "[{match: net.head.*, lr: %s, weight_decay: %s}, {match: net.body.4.*, lr_scale: 0.5}]"
    config = tiny({"data": {"val": None}})
    assert cli("fit", "--config", config, "--model.groups", groups % (0.5, 0.1)).code == 0
    argv = ["--resume", "experiments/tiny", "--trainer.max_epochs", "2", "--model.optimizer.lr", "0.04"]
    ran = cli("fit", *argv, "--model.groups", groups % (0.2, 0.3))
    assert ran.code == 0, ran.err
    assert "lr is 0.04, was 0.01; lr is 0.2, was 0.5; weight_decay is 0.3, was 0.1; lr is 0.02, was 0.005" in ran.err
    found = [
        (group["lr"], group["weight_decay"])
        for group in load(tmp_path / "experiments/tiny")["optimizer_states"][0]["param_groups"]
    ]
    assert found == [(0.04, 0.01), (0.2, 0.3), (0.02, 0.01)]


def test_settings_of_several_optimizers_are_applied(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": GAN, "data": {"val": None}})
    assert cli("fit", "--config", config).code == 0
    argv = ["--resume", "experiments/tiny", "--trainer.max_epochs", "2", "--model.generator_optimizer"]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "log.txt"}
    ran = cli("fit", *argv, "SGD", "--model.generator_optimizer.lr", "0.1")
    assert ran.code == 2
    message = "--resume cannot change the type of optimizer 0 (now SGD, before Adam); use --finetune to start a new run"
    assert ran.err.splitlines()[-1] == f"error: {message}"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path in before} == before
    argv[-1] += ".lr"
    ran = cli("fit", *argv, "0.5")
    assert ran.code == 0, ran.err
    assert "changed settings of Adam: lr is 0.5, was 0.001; the next learning rate is 0.5 instead of 0.001\n" in ran.err
    states = load(tmp_path / "experiments/tiny")["optimizer_states"]
    assert [state["param_groups"][0]["lr"] for state in states] == [0.5, 0.01]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--model.interval", "epoch"],
            "the interval of the scheduler of the optimizer (now epoch, before step)",
        ),
        (
            ["--model.scheduler", "null"],
            "the type of the scheduler of the optimizer (now none, before StepLR)",
        ),
    ],
)
def test_change_that_cannot_be_applied_is_refused_and_changes_nothing(
    argv: list[str], message: str, run: Path, cli: Cli, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    for name in ("tiny", "branch"):
        ran = cli("fit", "--resume", str(run), "--name", name, "--trainer.max_epochs", "3", *argv)
        assert (ran.code, ran.err.splitlines()[-1]) == (
            2,
            f"error: --resume cannot change {message}; use --finetune to start a new run",
        )
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path in before} == before
        assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]
        assert not list(run.glob("config.resume*"))


def test_change_without_effect_is_a_warning(cli: Cli, tiny: Callable[..., str]) -> None:
    """OneCycleLR sets the learning rates of all groups."""
    group, scheduler = {"match": "net.head.*", "lr": 0.5}, {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}
    assert cli("fit", "--config", tiny({"model": {"groups": [group], "scheduler": scheduler}})).code == 0
    argv = ["--resume", "experiments/tiny", "--trainer.max_epochs"]
    ran = cli("fit", *argv, "2", "--model.groups", "[{match: net.head.*, lr: 0.2}]")
    assert ran.code == 0, ran.err
    assert ran.err.count("the change of model.groups has no effect on optimizer and scheduler\n") == 1
    ran = cli("fit", *argv, "3", "--model.optimizer.foreach", "false")
    assert ran.code == 0, ran.err
    assert "has no effect" not in ran.err


def test_settings_of_older_checkpoints_are_not_known(run: Path, cli: Cli) -> None:
    content = load(run)
    del content["callbacks"]["OptimizerSettings"]
    path = run / "checkpoints/last.ckpt"
    path.unlink()
    torch.save(content, path)
    shutil.rmtree(run / "event")
    ran = cli("fit", "--resume", str(run), "--model.optimizer.lr", "0.5")
    assert ran.code == 2
    message = "an older version of the engine saved this checkpoint, without the settings of the optimizer"
    assert f"error: --resume cannot change model.optimizer.lr: {message}; use --finetune" in ran.err
    assert cli("fit", "--resume", str(run)).code == 0

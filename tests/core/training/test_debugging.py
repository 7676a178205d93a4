"""Callbacks of the debug preset: the gradient norms that are logged, and the stop at a non-finite value."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from project import load
from project.models.base import Model
from tests.conftest import CONFIGS, Cli
from tests.exactness import read_events

DEBUG = str(CONFIGS / "presets/debug.yaml")


class InfiniteGradient(Model):
    """Net whose gradient is infinite from the second step on: that of a square root at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        scale = self.scale.sqrt() if self.calls == 1 else (self.scale * 0).sqrt()
        return {"logits": self.layer(image.flatten(1)) + scale}


class NegativeLogarithm(Model):
    """Net that computes the logarithm of negative numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": -self.layer(image.flatten(1)).log()}


class NaNWeight(Model):
    """Net with a weight that is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, 8), nn.Linear(8, 10)
        nn.init.constant_(self.body.bias, float("nan"))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.body(image.flatten(1)))}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            "InfiniteGradient",
            "step 2: the gradient of net.scale is not finite; it began in SqrtBackward0, called in File",
        ),
        ("NegativeLogarithm", "step 1: the loss is nan; it began in net (NegativeLogarithm)"),
        (
            "NaNWeight",
            "step 1: the loss is nan; it began in net.body (Linear), whose parameter net.body.bias is not finite",
        ),
    ],
)
def test_first_non_finite_value_stops_the_run(
    net: str, message: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"model": {"net": {"type": f"tests.core.training.test_debugging.{net}"}}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert message in ran.err
    assert "Traceback" not in ran.err
    assert message in (tmp_path / "experiments/debug/tiny/log.txt").read_text()
    saved = tmp_path / "experiments/debug/tiny/non_finite.ckpt"
    assert f"; the weights before this step are in {saved}\nReplay it: python cli.py replay " in ran.err
    assert torch.load(saved, weights_only=True)["global_step"] == int(message[5]) - 1


def test_trial_saves_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.training.test_debugging.NaNWeight"}}})
    ran = cli("fit", "--config", config, "--config", DEBUG, "--trainer.fast_dev_run", "true")
    assert ran.code == 1
    assert "whose parameter net.body.bias is not finite\n" in ran.err
    assert not (tmp_path / "experiments").exists()


def test_message_has_the_line_that_called_the_operation(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.training.test_debugging.InfiniteGradient"}}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert 'tests/core/training/test_debugging.py", line ' in ran.err
    assert "(self.scale * 0).sqrt()" in ran.err


def test_weights_before_the_step_are_saved(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.training.test_debugging.InfiniteGradient"}}})
    assert cli("fit", "--config", config, "--config", DEBUG).code == 1
    weights = load(tmp_path / "experiments/debug/tiny/non_finite.ckpt").state_dict()
    assert {"net.scale", "net.layer.weight"} <= weights.keys()
    assert all(value.isfinite().all() for value in weights.values())


def test_gradient_norms_are_logged_by_parameter(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """SGD with a learning rate of 1 changes a weight by its gradient."""
    optimizer = {"type": "SGD", "lr": 1.0}
    config = tiny({"model": {"optimizer": optimizer}, "trainer": {"limit_train_batches": 1}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 0, ran.err
    assert cli("fit", "--config", config, "--config", DEBUG, "--name", "before", "--model.optimizer.lr", "0").code == 0
    root = tmp_path / "experiments/debug"
    events = read_events(root / "tiny/event")
    after, before = (load(root / name).state_dict() for name in ("tiny", "before"))
    for name in after:
        (logged,) = events.Scalars(f"gradient/{name}")
        assert logged.value == pytest.approx((after[name] - before[name]).norm().item(), rel=1e-4, abs=1e-7)
    assert "gradient/" not in ran.err  # too many values for the line of an epoch


def test_debug_preset_does_not_change_a_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    for argv in ((), ("--config", DEBUG)):
        assert cli("fit", "--config", tiny(), *argv).code == 0
    plain, debugged = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "debug/tiny"))
    assert all(torch.equal(plain[name], debugged[name]) for name in plain)
    assert not torch.is_anomaly_enabled()
    assert not (tmp_path / "experiments/debug/tiny/non_finite.ckpt").exists()


def test_message_names_the_part_of_a_batch_that_is_not_finite(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"data": {"train": {"type": "tests.core.components.Infinite"}, "batch_size": 5, "val": None}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert "the loss is nan; it began in the batch: image is not finite" in ran.err


def test_module_with_manual_optimization_is_checked(cli: Cli, tiny: Callable[..., str]) -> None:
    from tests.modules.test_gan import GAN

    config = tiny({"model": GAN | {"generator_optimizer": {"type": "SGD", "lr": 1e38}}, "data": {"val": None}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert "step 3: the loss is nan; it began in generator" in ran.err

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from project import load
from project.models.base import Model
from tests.conftest import CONFIGS, Cli

DEBUG = str(CONFIGS / "presets/debug.yaml")


class Root(Model):
    """Has an infinite gradient from the second step on: that of a square root at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        scale = self.scale.sqrt() if self.calls == 1 else (self.scale * 0).sqrt()
        return {"logits": self.layer(image.flatten(1)) + scale}


class Logarithm(Model):
    """Gives the logarithm of negative numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": -self.layer(image.flatten(1)).log()}


class Poisoned(Model):
    """Has a weight that is no number."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, 8), nn.Linear(8, 10)
        nn.init.constant_(self.body.bias, float("nan"))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.body(image.flatten(1)))}


@pytest.mark.parametrize(
    ("net", "says"),
    [
        ("Root", "step 1: the gradient of net.scale is not finite; it began in SqrtBackward0, called in File"),
        ("Logarithm", "step 0: the loss is nan; it began in net (Logarithm)"),
        (
            "Poisoned",
            "step 0: the loss is nan; it began in net.body (Linear), whose parameter net.body.bias is not finite",
        ),
    ],
)
def test_the_first_non_finite_value_stops_the_run(
    net: str, says: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"model": {"net": {"type": f"tests.core.test_debugging.{net}"}}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert says in (tmp_path / "experiments/debug/tiny/log.txt").read_text()
    saved = tmp_path / "experiments/debug/tiny/non_finite.ckpt"
    assert f"the weights before it are in {saved}" in ran.err
    assert torch.load(saved, weights_only=True)["global_step"] == int(says[5])


def test_where_the_operation_was_called(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.test_debugging.Root"}}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert 'tests/core/test_debugging.py", line ' in ran.err
    assert "(self.scale * 0).sqrt()" in ran.err


def test_the_weights_before_it_are_loaded(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.test_debugging.Root"}}})
    assert cli("fit", "--config", config, "--config", DEBUG).code == 1
    weights = load(tmp_path / "experiments/debug/tiny/non_finite.ckpt").net.state_dict()
    assert all(value.isfinite().all() for value in weights.values())


def test_gradients_are_logged_by_parameter(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """SGD with a learning rate of 1 moves a weight by its gradient."""
    optimizer = {"type": "SGD", "lr": 1.0}
    config = tiny({"model": {"optimizer": optimizer}, "trainer": {"limit_train_batches": 1}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 0, ran.err
    assert cli("fit", "--config", config, "--config", DEBUG, "--name", "before", "--model.optimizer.lr", "0").code == 0
    root = tmp_path / "experiments/debug"
    events = EventAccumulator(str(root / "tiny/event")).Reload()
    after, before = (load(root / name).state_dict() for name in ("tiny", "before"))
    for name in after:
        (logged,) = events.Scalars(f"gradient/{name}")
        assert logged.value == pytest.approx((after[name] - before[name]).norm().item(), rel=1e-4, abs=1e-7)
    assert "gradient/" not in ran.err  # there are too many for the line of an epoch


def test_a_healthy_run_is_not_changed(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    for argv in ((), ("--config", DEBUG)):
        assert cli("fit", "--config", tiny(), *argv).code == 0
    plain, debugged = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "debug/tiny"))
    assert all(torch.equal(plain[name], debugged[name]) for name in plain)
    assert not torch.is_anomaly_enabled()
    assert not (tmp_path / "experiments/debug/tiny/non_finite.ckpt").exists()


def test_a_batch_that_is_not_finite_is_named(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"data": {"train": {"type": "tests.core.rooms.Infinite"}, "batch_size": 5, "val": None}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert "the loss is nan; it began in the batch: image is not finite" in ran.err


def test_two_optimizers(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A module that steps by itself is watched too."""
    from tests.modules.test_gan import GAN

    config = tiny({"model": GAN | {"generator_optimizer": {"type": "SGD", "lr": float("inf")}}, "data": {"val": None}})
    ran = cli("fit", "--config", config, "--config", DEBUG)
    assert ran.code == 1
    assert "step 2: the loss is nan; it began in generator" in ran.err

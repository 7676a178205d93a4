"""The average of `model.ema` is torch's, is used wherever the weights are judged, and is the only copy of them."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import project
from project.core.errors import ConfigError
from project.core.model.ema import MovingAverage
from tests.conftest import Cli
from tests.exactness import curves, differing, flat

STATE = "moving_average"


class Net(pl.LightningModule):
    """Module with batch norm, an infinite buffer, a constant one, one that is not saved, tied and frozen weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
        self.tied = self.layers[2]
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("mask", torch.tensor([0, -torch.inf]))
        self.register_buffer("scale", torch.tensor([0.1, 0.3]))
        self.register_buffer("cache", torch.zeros(2), persistent=False)

    def train_step(self, optimizer: SGD, number: int) -> None:
        batch = torch.linspace(0, number + 1, 20).to(self.frozen).view(5, 4)
        optimizer.zero_grad()
        self.layers(batch).pow(2).sum().backward()
        optimizer.step()


def start(decay: float, dtype: torch.dtype = torch.float32) -> tuple[Net, SGD, MovingAverage]:
    """Return a module, its optimizer, and its average at the start of a training."""
    torch.manual_seed(0)
    net = Net().to(dtype)
    optimizer = SGD([parameter for parameter in net.parameters() if parameter.requires_grad], lr=0.1, weight_decay=0.1)
    average, trainer = MovingAverage(decay), SimpleNamespace(callbacks=[], optimizers=[optimizer])
    average.setup(trainer, net, "fit")  # type: ignore[arg-type]
    average.on_fit_start(trainer, net)  # type: ignore[arg-type]
    return net, optimizer, average


def test_average_is_that_of_torch_and_training_goes_on_with_the_weights() -> None:
    net, optimizer, average = start(0.7)
    plain, plain_optimizer, _ = start(0.7)
    reference = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
    for number in range(4):
        net.train_step(optimizer, number)
        plain.train_step(plain_optimizer, number)
        reference.update_parameters(plain)
        average.use_average()
        expected = reference.module.state_dict()
        # torch averages the count of batches, which is rounded, and makes NaN of infinity.
        expected |= {name: plain.state_dict()[name] for name in ("layers.1.num_batches_tracked", "mask")}
        assert differing(net.state_dict(), expected) == []
        assert net.tied.weight is net.layers[2].weight
        average.use_trained()
        assert differing(net.state_dict(), plain.state_dict()) == []
    assert net.state_dict()["scale"].tolist() == plain.state_dict()["scale"].tolist()


def test_average_of_low_precision_keeps_small_changes() -> None:
    """In bfloat16, a change of less than 0.4 % of a weight would be lost, and the average would never move."""
    net, optimizer, average = start(0.999, torch.bfloat16)
    net.train_step(optimizer, 0)
    with torch.no_grad():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.fill_(1)
            parameter.grad = None
    for _ in range(5000):
        optimizer.step()
    average.use_average()
    assert net.layers[0].weight.dtype is torch.bfloat16
    torch.testing.assert_close(net.layers[0].weight, torch.ones_like(net.layers[0].weight), atol=0.01, rtol=0)


def test_average_is_the_only_copy_also_while_it_is_used_and_saved() -> None:
    net, optimizer, average = start(0.9)
    before = memory(net)
    net.train_step(optimizer, 0)
    net.train_step(optimizer, 1)
    trained = memory(net)
    assert trained == before
    checkpoint: dict[str, Any] = {}
    average.save(checkpoint)
    assert memory(net) == trained
    average.use_average()
    averaged = memory(net)
    constant = {net.state_dict()[name].data_ptr() for name in ("frozen", "mask", "layers.1.num_batches_tracked")}
    assert averaged & trained == constant
    saved = {
        value.data_ptr() for part in (checkpoint["state_dict"], *checkpoint[STATE].values()) for value in part.values()
    }
    assert saved == averaged | trained
    again: dict[str, Any] = {}
    average.save(again)
    assert memory(net) == averaged
    assert differing(flat(checkpoint), flat(again)) == []
    average.use_trained()
    assert memory(net) == trained


def test_module_that_saves_a_part_of_its_state_is_loaded() -> None:
    net, optimizer, average = start(0.9)
    net.strict_loading = False
    net.train_step(optimizer, 0)
    checkpoint: dict[str, Any] = {}
    average.save(checkpoint)
    saved = {name: value.clone() for name, value in checkpoint[STATE]["trained_state_dict"].items() if name != "frozen"}
    net.train_step(optimizer, 1)
    average.on_load_checkpoint(SimpleNamespace(), net, {STATE: checkpoint[STATE] | {"trained_state_dict": saved}})  # type: ignore[arg-type]
    assert all(torch.equal(net.state_dict()[name], value) for name, value in saved.items())


def memory(net: nn.Module) -> set[int]:
    """Return the addresses of the tensors that are saved."""
    return {value.data_ptr() for value in net.state_dict().values()}


def test_average_needs_one_optimizer() -> None:
    net, optimizer, average = start(0.9)
    trainer: Any = SimpleNamespace(callbacks=[], optimizers=[optimizer] * 2)
    with pytest.raises(ConfigError, match=r"^model\.ema needs one optimizer, but Net has 2; leave it out$"):
        average.on_fit_start(trainer, net)


def load(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    return loaded


OVER: dict[str, Any] = {
    "model": {"ema": 0.5, "net": {"type": "tests.core.random_components.Dropped"}},
    "evaluation": {"every_n_epochs": 1},
    "trainer": {"max_epochs": 2},
}


def test_average_is_validated_saved_tested_and_loaded(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """All but the training use it."""
    run, plain = (tmp_path / "experiments" / name for name in ("tiny", "plain"))
    assert cli("fit", "--config", tiny(OVER)).code == 0
    assert cli("fit", "--config", tiny(OVER), "--name", "plain", "--model.ema", "null").code == 0
    assert curves(run)["train/sum"] == curves(plain)["train/sum"]
    checkpoint, trained = load(run), load(plain)
    assert differing(checkpoint[STATE]["trained_state_dict"], trained["state_dict"]) == []
    assert differing(checkpoint["state_dict"], trained["state_dict"]) != []
    assert differing(dict(project.load(run, trust=True).state_dict()), checkpoint["state_dict"]) == []
    for stage, split in (("validate", "val"), ("test", "eval")):
        assert cli(stage, "--ckpt_path", str(run / "checkpoints/last.ckpt"), "--trust").code == 0
        value = json.loads((run / f"eval/{stage}/metrics.json").read_text())["sum"]
        assert curves(run)[f"{split}/sum"][-1][1] == pytest.approx(value, rel=1e-6)
        assert curves(plain)[f"{split}/sum"][-1][1] != pytest.approx(value, rel=1e-6)


def test_average_can_be_added_and_left_out_at_a_resume(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Both train as if there was none; otherwise the average would be trained."""
    for ema in ("0.5", "null"):
        assert cli("fit", "--config", tiny({"data": {"val": None}}), "--name", ema, "--model.ema", ema).code == 0
        other = "null" if ema == "0.5" else "0.5"
        resumed = cli("fit", "--resume", f"experiments/{ema}", "--model.ema", other, "--trainer.max_epochs", "2")
        assert resumed.code == 0, resumed.err
        assert ("model.ema is null: the average in the checkpoint is left out" in resumed.err) is (other == "null")
    without, started = (load(tmp_path / "experiments" / name) for name in ("0.5", "null"))
    assert STATE not in without
    assert differing(without["state_dict"], started[STATE]["trained_state_dict"]) == []
    assert differing(started["state_dict"], without["state_dict"]) != []


def test_checkpoint_with_nothing_but_weights_has_the_average(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    callback = {"type": "ModelCheckpoint", "dirpath": str(tmp_path), "filename": "own", "save_weights_only": True}
    over = {"model": {"ema": 0.5}, "data": {"val": None}, "trainer": {"callbacks": [callback]}}
    assert cli("fit", "--config", tiny(over)).code == 0
    own = torch.load(tmp_path / "own.ckpt", weights_only=True)["state_dict"]
    assert differing(own, load(tmp_path / "experiments/tiny")["state_dict"]) == []


def test_decay_of_a_module_without_bounds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^ema is 1\.5; it takes a number > 0 and < 1$"):
        MovingAverage(1.5)

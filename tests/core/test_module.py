from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from project import load
from project.core.errors import ConfigError
from project.core.module import SupervisedModule
from project.core.wiring import LossTerm, MetricTerm, NetTerm
from project.losses.base import Loss
from tests.conftest import Cli
from tests.rooms import MLP, Accuracy, CrossEntropy


class Two(Loss):
    """Two losses in one."""

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return {"a": logits.mean(), "b": logits.square().mean()}


def module(**changes: Any) -> SupervisedModule:
    arguments: dict[str, Any] = {
        "net": NetTerm(MLP(64, 10)),
        "optimizer": torch.optim.SGD,
        "loss": {"cross_entropy": LossTerm(CrossEntropy())},
    }
    return SupervisedModule(**arguments | changes)


BATCH = {"image": torch.rand(4, 1, 8, 8), "label": torch.tensor([1, 2, 3, 4])}


def test_losses_are_weighted_in_one_place() -> None:
    engine = module(loss={"one": LossTerm(CrossEntropy(), 2.0), "two": LossTerm(Two(), 0.5)})
    output = engine(BATCH)
    values = engine.loss_values(BATCH, output)
    assert list(values) == ["one", "two/a", "two/b", "sum"]
    torch.testing.assert_close(values["sum"], 2 * values["one"] + 0.5 * (values["two/a"] + values["two/b"]))
    torch.testing.assert_close(values["one"], nn.functional.cross_entropy(output["logits"], BATCH["label"]))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            NetTerm(nn.Flatten(), {"input": "image"}),
            r"model.net \(Flatten\) returns a Tensor: name it with `output: NAME`",
        ),
        (NetTerm(MLP(64, 10), output="x"), r"model.net \(MLP\) returns a dict: take `output` away"),
    ],
)
def test_a_net_returns_a_dict_or_a_tensor_with_a_name(net: NetTerm, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module(net=net)(BATCH)


def test_a_tensor_gets_its_name() -> None:
    output = module(net=NetTerm(nn.Flatten(), {"input": "image"}, "flat"))(BATCH)
    assert torch.equal(output["flat"], BATCH["image"].flatten(1))


@pytest.mark.parametrize("name", ["a.b", "a/b", "sum"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ConfigError, match=f"a loss or metric cannot be called '{name}'"):
        module(loss={name: LossTerm(CrossEntropy())})


def test_columns_of_samples() -> None:
    engine = module(metric={"accuracy": MetricTerm(Accuracy(10))})
    columns = engine.per_sample(BATCH, engine(BATCH))
    assert {name: column.shape for name, column in columns.items()} == {"cross_entropy": (4,), "accuracy": (4,)}


def test_metrics_are_not_in_the_weights() -> None:
    assert not [
        name for name in module(metric={"accuracy": MetricTerm(Accuracy(10))}).state_dict() if "net." not in name
    ]


def test_wiring_is_checked_before_any_weight_changes(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A metric that is only due at the 50th batch is found wrong at the first."""
    config = tiny(
        {
            "model": {"metric": {"accuracy": {"inputs": {"label": "lable"}}}},
            "data": {"val": None},
            "trainer": {"limit_train_batches": 19, "callbacks": [{"type": "tests.core.rooms.NoBatchMayEnd"}]},
        }
    )
    assert cli("fit", "--config", config).code == 2
    assert not (tmp_path / "experiments").exists()


def test_the_same_yaml_gives_the_same_weights(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--model.net.dropout", "0.5", "--data.train.augmentation.random_shift.type", "tests.rooms.RandomShift"]
    for name, seed in (("one", "1"), ("two", "1"), ("three", "2")):
        assert cli("fit", "--config", tiny(), "--name", name, "--seed", seed, *argv).code == 0
    one, two, three = (
        nn.utils.parameters_to_vector(load(tmp_path / "experiments" / name).parameters())
        for name in ("one", "two", "three")
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_early_stopping(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    stopping = {"type": "EarlyStopping", "monitor": "val/accuracy", "mode": "max", "stopping_threshold": 0.0}
    config = tiny({"trainer": {"max_epochs": 5, "callbacks": [stopping]}})
    assert cli("fit", "--config", config).code == 0
    assert torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0

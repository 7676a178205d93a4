"""SupervisedModule weights its losses, checks its wiring first, and computes values per sample only when needed."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from project import load
from project.core.config.pretrained import Pretrained
from project.core.config.terms import LossTerm, MetricTerm, NetTerm
from project.core.data import datamodule
from project.core.errors import ConfigError
from project.core.model import ema, module, optimization, wiring
from project.core.model.module import BaseModule, SupervisedModule
from project.core.model.wiring import per_sample_columns
from project.losses.base import Loss
from project.metrics.base import Metric
from project.models.base import Model
from project.modules import base
from tests.components import MLP, Accuracy, CrossEntropy
from tests.conftest import TINY, Cli

BATCH = {"image": torch.rand(4, 1, 8, 8), "label": torch.tensor([1, 2, 3, 4])}
NUM_BATCHES = 5  # of the val and the test split of Glyphs
calls: Counter[str] = Counter()


class TwoLosses(Loss):
    """Loss that returns two values."""

    def forward(self, logits: Tensor) -> dict[str, Tensor]:
        return {"a": logits.mean(), "b": logits.square().mean()}


class MeanOfSamples(CrossEntropy):
    """Loss whose `forward` calls `per_sample`, counted in `calls`."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        calls["forward"] += 1
        return self.per_sample(logits, label).mean()

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        calls["mean_of_samples"] += 1
        return super().per_sample(logits, label)


class SeparateSamples(CrossEntropy):
    """Loss whose `forward` does not call `per_sample`, counted in `calls`."""

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        calls["separate_samples"] += 1
        return super().per_sample(logits, label)


class CountedAccuracy(Accuracy):
    """Metric whose `update` calls `per_sample`, counted in `calls`."""

    def update(self, logits: Tensor, label: Tensor) -> None:
        calls["update"] += 1
        self.per_sample(logits, label)
        super().update(logits, label)

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        calls["accuracy"] += 1
        return super().per_sample(logits, label)


COUNTED: dict[str, Any] = {
    "loss": {
        "cross_entropy": {"type": f"{__name__}.MeanOfSamples"},
        "separate": {"type": f"{__name__}.SeparateSamples"},
    },
    "metric": {"accuracy": {"type": f"{__name__}.CountedAccuracy", "num_classes": 10}},
}


def build(**changes: Any) -> SupervisedModule:
    """Return a module; `changes` are arguments that differ."""
    arguments: dict[str, Any] = {
        "net": NetTerm(MLP(64, 10)),
        "optimizer": torch.optim.SGD,
        "loss": {"cross_entropy": LossTerm(CrossEntropy())},
    }
    return SupervisedModule(**arguments | changes)


def accuracy() -> MetricTerm:
    return MetricTerm(cast(Metric, Accuracy(10)))


def test_owners_modules_get_the_engines_classes() -> None:
    """Modules of the owner import all they need from there."""
    assert {name: getattr(base, name) for name in base.__all__} == {
        "BaseModule": module.BaseModule,
        "Clip": optimization.Clip,
        "DataModule": datamodule.DataModule,
        "Decay": ema.Decay,
        "Pretrained": Pretrained,
        "NamedCall": wiring.NamedCall,
        "SupervisedModule": module.SupervisedModule,
        "build_optimizer": optimization.build_optimizer,
    }


def test_losses_are_weighted_in_the_sum_only() -> None:
    model = build(loss={"one": LossTerm(CrossEntropy(), 2.0), "two": LossTerm(TwoLosses(), 0.5)})
    output = model(BATCH)
    values = model.loss_values(BATCH, output)
    assert list(values) == ["one", "two/a", "two/b", "sum"]
    torch.testing.assert_close(values["sum"], 2 * values["one"] + 0.5 * (values["two/a"] + values["two/b"]))
    torch.testing.assert_close(values["one"], nn.functional.cross_entropy(output["logits"], BATCH["label"]))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            NetTerm(cast(Model, nn.Flatten()), {"input": "image"}),
            r"^model\.net \(Flatten\) returns a Tensor: name it with `output: NAME`$",
        ),
        (NetTerm(MLP(64, 10), output="x"), r"^model\.net \(MLP\) returns a dict: remove `output`$"),
    ],
)
def test_net_returns_a_dict_or_a_tensor_with_a_name(net: NetTerm, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(net=net)(BATCH)


def test_tensor_gets_the_name_in_output() -> None:
    output = build(net=NetTerm(cast(Model, nn.Flatten()), {"input": "image"}, "flat"))(BATCH)
    assert output.keys() == {"flat"}
    assert torch.equal(output["flat"], BATCH["image"].flatten(1))


@pytest.mark.parametrize("name", ["a.b", "a/b", "sum", "visual", "target"])
def test_reserved_names_of_losses_are_errors(name: str) -> None:
    reserved = "sum, visual, index, name, prediction, target"
    message = f"a loss or metric cannot be called '{name}' (no dots, no slashes, not {reserved})"
    with pytest.raises(ConfigError) as caught:
        build(loss={name: LossTerm(CrossEntropy())})
    assert str(caught.value) == f"model: {message}"


def test_losses_and_metrics_have_columns() -> None:
    model = build(metric={"accuracy": accuracy()})
    output = model(BATCH)
    columns = per_sample_columns(model.loss_terms | model.metric_terms, BATCH, output)
    assert {name: column.shape for name, column in columns.items()} == {"cross_entropy": (4,), "accuracy": (4,)}
    assert torch.equal(columns["accuracy"], (output["logits"].argmax(1) == BATCH["label"]).float())


def test_metrics_are_not_in_the_state_dict() -> None:
    weights = build(metric={"accuracy": accuracy()}).state_dict()
    assert weights
    assert all(name.startswith("net.") for name in weights)


def test_gradients_are_set_to_none() -> None:
    class Counted(torch.optim.SGD):
        calls = 0

        def zero_grad(self, set_to_none: bool = True) -> None:
            self.calls += 1

    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    counted = Counted([weight], lr=0.1)
    BaseModule().optimizer_zero_grad(0, 0, counted)
    assert counted.calls == 1
    assert weight.grad is not None
    BaseModule().optimizer_zero_grad(0, 0, torch.optim.SGD([weight], lr=0.1))
    assert weight.grad is None


def test_wiring_is_checked_before_any_weight_changes(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A metric that is first logged after 50 batches is checked in the first one."""
    config = tiny(
        {
            "model": {"metric": {"accuracy": {"inputs": {"label": "lable"}}}},
            "data": {"val": None},
            "trainer": {"limit_train_batches": 19, "callbacks": ["tests.core.components.FailAfterFirstBatch"]},
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 2
    assert "needs 'lable', which neither batch nor output contains; did you mean 'label'?" in ran.err
    assert not (tmp_path / "experiments").exists()


def test_equal_yaml_gives_equal_weights(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--model.net.dropout", "0.5", "--data.train.augmentation.random_shift.type", "tests.components.RandomShift"]
    for name, seed in (("one", "1"), ("two", "1"), ("three", "2")):
        assert cli("fit", "--config", tiny(), "--name", name, "--seed", seed, *argv).code == 0
    one, two, three = (
        nn.utils.parameters_to_vector(load(tmp_path / "experiments" / name).parameters())
        for name in ("one", "two", "three")
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_early_stopping_ends_the_training(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    stopping = {"type": "EarlyStopping", "monitor": "val/accuracy", "mode": "max", "stopping_threshold": 0.0}
    config = tiny({"trainer": {"max_epochs": 5, "callbacks": [stopping]}})
    assert cli("fit", "--config", config).code == 0
    assert torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_values_per_sample_are_computed_once_per_batch_for_samples_csv_only(
    stage: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    calls.clear()
    assert cli("fit", "--config", tiny({"model": COUNTED})).code == 0
    steps = TINY["trainer"]["limit_train_batches"]
    assert calls["forward"] == calls["mean_of_samples"] == steps + NUM_BATCHES  # `forward` itself calls it
    assert calls["update"] == calls["accuracy"] > NUM_BATCHES
    assert calls["separate_samples"] == 0
    calls.clear()
    assert cli(stage, "--ckpt_path", "experiments/tiny").code == 0
    names = ("forward", "mean_of_samples", "separate_samples", "update", "accuracy")
    assert calls == dict.fromkeys(names, NUM_BATCHES)
    with (tmp_path / f"experiments/tiny/eval/{stage}/samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("index", "prediction", "target", "prediction.probability"),
        *("cross_entropy", "separate", "accuracy"),
    ]
    assert [row["cross_entropy"] for row in rows] == [row["separate"] for row in rows]


def test_evaluation_during_training_computes_values_per_sample(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    calls.clear()
    config = tiny({"model": COUNTED, "data": {"val": None}, "evaluation": {"every_n_epochs": 1}})
    assert cli("fit", "--config", config).code == 0
    assert calls["separate_samples"] == NUM_BATCHES
    assert calls["mean_of_samples"] == TINY["trainer"]["limit_train_batches"] + NUM_BATCHES
    table = (tmp_path / "experiments/tiny/eval/epoch_0000/samples.csv").read_text()
    assert table.startswith("index,prediction,target,prediction.probability,cross_entropy,separate,accuracy\n")

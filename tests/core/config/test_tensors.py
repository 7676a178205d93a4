"""Lists become tensors where an annotation says Tensor: class weights train, are repeated, resumed and loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from project import load
from project.core.config.construction import construct
from project.core.config.entries import EntryConverter
from project.core.config.tensors import as_weights, to_list, to_tensor
from project.core.config.terms import LossTerm, NetTerm
from project.core.config.yaml_files import parse_untyped
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from project.losses.base import Loss
from project.models.base import Model
from tests.conftest import Cli
from tests.exactness import differing, outcome

WEIGHTS = [0.1, 2.0, *[1.0] * 8]
WEIGHTED = {
    "type": "torch.nn.CrossEntropyLoss",
    "init": {"weight": WEIGHTS},
    "inputs": {"input": "logits", "target": "label"},
    "weight": 2,
}


class PlainWeights(Loss):
    """Cross entropy whose weights are a plain attribute, and computed by hand."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.own = weight

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the weighted mean."""
        weights = self.own[label]
        return (weights * F.cross_entropy(logits, label, reduction="none")).sum() / weights.sum()


class Initialized(Model):
    """Net with arguments that are named like reserved keys."""

    def __init__(self, init: str = "zeros", inputs: int = 3, type: str = "a") -> None:
        super().__init__()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": image}


def test_class_weights_train_as_in_torch_and_are_repeated_resumed_and_loaded(
    cli: Cli, tiny: Callable[..., str]
) -> None:
    config = tiny({"model": {"loss": {"cross_entropy": None, "ce": WEIGHTED}}, "trainer": {"max_epochs": 2}})
    assert cli("fit", "--config", config).code == 0
    saved = yaml.safe_load(Path("experiments/tiny/config.yaml").read_text())["model"]["loss"]["ce"]
    assert (saved["init"], saved["weight"]) == ({"weight": WEIGHTS}, 2.0)
    module = load("experiments/tiny")
    assert isinstance(module, SupervisedModule)
    label = torch.arange(10)
    logits = torch.rand(10, 10, generator=torch.Generator().manual_seed(0))
    values = module.loss_values({"label": label}, {"logits": logits})
    assert torch.equal(values["ce"], nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS))(logits, label))
    assert torch.equal(values["sum"], 2 * values["ce"])
    own = {"type": f"{__name__}.PlainWeights", "init": {"weight": WEIGHTS}, "weight": 2}
    other = tiny({"model": {"loss": {"cross_entropy": None, "ce": own}}, "trainer": {"max_epochs": 2}}, "own.yaml")
    assert cli("fit", "--config", other, "--name", "own").code == 0
    found = torch.load("experiments/own/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, weight in load("experiments/tiny").net.state_dict().items():  # type: ignore[union-attr]
        torch.testing.assert_close(found[f"net.{name}"], weight)
    assert (
        cli("fit", "--config", "experiments/tiny/config.yaml", "--name", "again", "--trainer.max_epochs", "1").code == 0
    )
    assert cli("fit", "--resume", "experiments/again", "--trainer.max_epochs", "2").code == 0
    again, first = (outcome(Path("experiments") / name) for name in ("again", "tiny"))
    assert [path for path in differing(again, first) if ".state_dict" in path] == []


@pytest.mark.parametrize("option", ["--resume", "--finetune"])
def test_run_uses_the_weights_of_its_own_config(option: str, cli: Cli, tiny: Callable[..., str]) -> None:
    """torch's losses save them in the checkpoint, from which they would be restored."""
    config = tiny({"model": {"loss": {"cross_entropy": None, "ce": WEIGHTED}}})
    assert cli("fit", "--config", config).code == 0
    start = ["--config", config, "--name", "new"] if option == "--finetune" else ["--name", "new"]
    weights = "[3, 1, 1, 1, 1, 1, 1, 1, 1, 1]"
    argv = ["fit", option, "experiments/tiny", *start, "--model.loss.ce.init.weight", weights]
    ran = cli(*argv, "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    saved = torch.load("experiments/new/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert saved["losses.ce.weight"].tolist() == [3, *[1] * 9]
    assert load("experiments/new").losses["ce"].weight.tolist() == [3, *[1] * 9]  # type: ignore[union-attr, index]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1, 2], torch.int64),
        ([1, 2.5], torch.float32),
        ([True, False], torch.bool),
        ([[0.1, 1e-7], [3, 4]], torch.float32),
    ],
)
def test_lists_become_tensors_and_are_written_as_lists(value: Any, dtype: torch.dtype) -> None:
    tensor = to_tensor(value)
    assert tensor.dtype is dtype
    assert torch.equal(tensor, torch.tensor(value))
    assert to_list(tensor) == value


def test_other_values_are_no_tensors() -> None:
    with pytest.raises(TypeError, match="not a list"):
        to_tensor("x")


@pytest.mark.parametrize(
    ("name", "text", "annotation", "expected"),
    [
        ("weight", "[1, 2]", Tensor | None, "[1.0, 2.0]"),
        ("class_weights", "[[1], [0.5]]", Tensor, "[[1.0], [0.5]]"),
        ("index", "[1, 2]", Tensor, "['1', '2']"),  # typed later
        ("weight", "[1]", list[int], "['1']"),
    ],
)
def test_integers_of_weights_become_floats(name: str, text: str, annotation: Any, expected: str) -> None:
    assert repr(as_weights(name, parse_untyped(text, "here"), annotation)) == expected


def test_weights_move_to_the_device_and_keep_their_value_when_a_state_is_loaded() -> None:
    loss: Any = construct(nn.CrossEntropyLoss, weight=torch.tensor([1.0, 2.0]))
    loss.load_state_dict({"weight": torch.zeros(2)})
    assert loss.weight.tolist() == [1, 2]
    assert loss.to("meta").weight.device.type == "meta"


@pytest.mark.parametrize(
    ("entry", "arguments"),
    [
        ({"init": "ones"}, {"init": "ones"}),
        ({"init": {"init": "ones"}}, {"init": "ones"}),
        ({"init": {"inputs": 4, "type": "b"}, "inputs": {"image": "x"}}, {"inputs": 4, "type": "b"}),
    ],
)
def test_init_reaches_arguments_that_are_named_like_reserved_keys(
    entry: dict[str, Any], arguments: dict[str, Any]
) -> None:
    converter = EntryConverter()
    expanded = converter.expand({"type": f"{__name__}.Initialized"} | entry, NetTerm, "model.net")
    assert expanded["net"]["init_args"] == arguments
    collapsed = converter.collapse(expanded, NetTerm)
    assert converter.expand(collapsed, NetTerm, "model.net") == expanded


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"type": "BCELoss", "init": {"wieght": [1]}},
            "a.init (BCELoss) has no setting 'wieght'; did you mean 'weight'?\n"
            "known: weight, size_average, reduce, reduction",
        ),
        ({"type": "BCELoss", "init": [1]}, "a.init is [1]; it takes a mapping of settings"),
        (
            {"type": "BCELoss", "init": {"reduction": "sum"}, "reduction": "mean"},
            "a.reduction and a.init.reduction are the same argument; remove one",
        ),
        ({"type": "BCELoss", "init": {"reduction": None}}, "a.init.reduction is null; it takes str"),
        (
            {"type": "BCELoss", "weight": [1.0]},
            "a.weight is [1.0]; it takes float >= 0\nThe argument 'weight' of BCELoss is a.init.weight",
        ),
    ],
)
def test_mistakes_in_init(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EntryConverter().expand(entry, LossTerm, "a")
    assert str(caught.value) == message

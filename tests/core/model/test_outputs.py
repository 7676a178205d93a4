"""Nets of other packages return dataclasses and NamedTuples, which become dicts of named tensors."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from project.core.config.terms import LossTerm, NetTerm
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from project.core.model.outputs import name_tensors
from tests.components import CrossEntropy

LOGITS = torch.zeros(2, 3)


@dataclass
class Output(OrderedDict[str, Any]):
    """Like ModelOutput of Hugging Face: a dataclass that is a dict of the fields that are not None."""

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] = (LOGITS,)

    def __post_init__(self) -> None:
        self.update({"logits": self.logits, "hidden_states": self.hidden_states})


@dataclass
class Plain:
    """Dataclass that is no dict."""

    logits: Tensor
    loss: Tensor | None = None


class Pair(NamedTuple):
    """NamedTuple with a field that is None."""

    logits: Tensor
    loss: Tensor | None = None


@pytest.mark.parametrize("output", [Output(LOGITS), Plain(LOGITS), Pair(LOGITS)], ids=lambda each: type(each).__name__)
def test_tensors_of_fields_become_a_dict(output: Any) -> None:
    named = name_tensors(output, None, "Net")
    assert type(named) is dict
    assert list(named) == ["logits"]
    assert named["logits"] is LOGITS


@pytest.mark.parametrize("output", [(LOGITS,), None, Plain, LOGITS])
def test_other_outputs_are_refused_without_a_name(output: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.net \(Net\) returns a {type(output).__name__}: "):
        name_tensors(output, None, "Net")


class Net(nn.Module):
    """Net like those of Hugging Face: it takes more than the batch contains, and returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor, label: Tensor | None = None, return_dict: bool = True, **kwargs: Any) -> Output:
        return Output(self.layer(image.flatten(1)))


def test_net_returns_a_dataclass() -> None:
    net, loss = Net(), {"cross_entropy": LossTerm(CrossEntropy())}
    module = SupervisedModule(NetTerm(net), torch.optim.SGD, loss)  # type: ignore[arg-type]
    batch = {"image": torch.randn(2, 1, 8, 8), "label": torch.tensor([1, 3])}
    output = module(batch)
    assert output.keys() == {"logits"}
    assert torch.equal(output["logits"], net.layer(batch["image"].flatten(1)))
    assert torch.equal(module.loss_values(batch, output)["sum"], cross_entropy(output["logits"], batch["label"]))


def test_name_of_an_output_that_has_names_is_refused() -> None:
    loss = {"cross_entropy": LossTerm(CrossEntropy())}
    module = SupervisedModule(NetTerm(Net(), output="logits"), torch.optim.SGD, loss)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^model.net \(Net\) returns a Output: remove `output`$"):
        module({"image": torch.randn(2, 1, 8, 8)})

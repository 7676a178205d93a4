"""The graph: which tensors it takes, and what its outputs are called."""

from collections.abc import Mapping
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from project.core.errors import ConfigError, user_message
from project.core.export.graph import Graph
from project.transforms.base import Transform
from tests.core.export import nets


class FromTable(Transform):
    """Transform that makes a tensor of the net out of two others of the batch."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample | {"x": sample["first"] + sample["second"]}


class Own(pl.LightningModule):
    """Module of one's own, with or without a net."""

    def __init__(self, **nets: nn.Module) -> None:
        super().__init__()
        for name, net in nets.items():
            setattr(self, name, net)


def compute(graph: Graph, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        outputs: dict[str, Tensor] = graph(*(batch[name] for name in graph.inputs))
    return outputs


@pytest.mark.parametrize(("others", "expected"), [((), 1), (("z",), 5), (("y", "z"), 7)])
def test_optional_inputs_are_those_of_the_batch(others: tuple[str, ...], expected: int) -> None:
    batch = nets.vectors(**{name: torch.ones(3, 4) for name in others}) | {"x": torch.ones(3, 4)}
    graph = Graph(nets.supervised(nets.Optional()), batch)
    assert graph.inputs == ["x", *others]
    assert torch.equal(compute(graph, batch)["sum"], torch.full((3, 4), float(expected)))


def test_names_that_occur_twice() -> None:
    """What `predict` passes on is one output; other values of the same name are both in the graph."""
    batch = nets.vectors()
    graph = Graph(nets.supervised(nets.SameNames()), batch)
    assert graph.inputs == ["x"]
    assert graph.outputs == {"x": "net_x", "same": "same", "changed": "net_changed", "add": "add"}
    assert graph.answers == {"same": "same", "changed": "changed", "x": "predicted_x"}
    found, x = compute(graph, batch), batch["x"]
    assert found.keys() == {*graph.outputs.values(), *graph.answers.values()}
    expected = {"net_x": x + 1, "same": x + 2, "net_changed": x + 3, "add": 2 * x}
    expected |= {"changed": 2 * (x + 3), "predicted_x": 3 * (x + 2)}
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_without_predict_the_outputs_are_the_answers() -> None:
    graph = Graph(nets.supervised(nets.Optional()), nets.vectors())
    assert graph.outputs == graph.answers == {"sum": "sum"}


def test_inputs_are_what_prepare_reads() -> None:
    """The tensor that the net takes is no input if a transform makes it out of others."""
    batch = {"first": torch.ones(2, 4), "label": torch.arange(2), "second": 2 * torch.ones(2, 4)}
    module = nets.supervised(nets.Optional(), prepare={"from_table": FromTable()})
    graph = Graph(module, batch)
    assert graph.inputs == ["first", "second"]
    assert torch.equal(compute(graph, batch)["sum"], torch.full((2, 4), 3.0))


def test_module_of_ones_own_exports_its_net() -> None:
    batch = nets.vectors()
    net = nets.Bare()
    graph = Graph(Own(net=net, other=nn.Linear(9, 9)).train(), batch)
    assert (graph.inputs, graph.outputs, graph.answers) == (["x"], {"output": "output"}, {"best": "best"})
    assert not net.training
    assert set(graph.state_dict()) == {"wired.net.layer.weight", "wired.net.layer.bias"}
    with torch.no_grad():
        assert torch.equal(compute(graph, batch)["output"], net(batch["x"]))


def test_half_precision_becomes_float32() -> None:
    graph = Graph(nets.supervised(nets.Conv()).bfloat16(), nets.pictures())
    assert {value.dtype for value in graph.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("module", "batch", "message"),
    [
        (Own(), nets.vectors(), "model (Own) has no attribute `net`; `export` takes the net from it"),
        (
            nets.supervised(nets.TakesBatch()),
            nets.vectors(),
            "model.net (TakesBatch) takes the whole batch, so that it is unknown which tensors an exported model takes"
            "\nLet its `forward` name them as parameters",
        ),
        (
            nets.supervised(nets.Optional()),
            nets.vectors(y=torch.tensor(3.0)),
            "model.net takes y () float32 from the batch; an exported model takes only tensors with a row for each "
            "sample, here 3",
        ),
        (
            nets.supervised(nets.Optional()),
            nets.vectors(y=7),  # type: ignore[arg-type]
            "model.net takes y int from the batch; an exported model takes only tensors with a row for each sample, "
            "here 3",
        ),
        (
            nets.supervised(nets.SumsList()),
            nets.vectors(y=[torch.ones(3, 4)]),  # type: ignore[arg-type]
            "model.net takes y list from the batch; an exported model takes only tensors with a row for each sample, "
            "here 3",
        ),
        *(
            (
                nets.supervised(net()),
                nets.vectors(),
                f"model.net ({net.__name__}) cannot be exported: the second time, it returns another y for the same "
                "input\n"
                "Draw random numbers only `if self.training`, keep no state, and do not change the input in place",
            )
            for net in (nets.Noise, nets.InPlace)
        ),
    ],
    ids=["no net", "whole batch", "scalar", "no tensor", "list", "random numbers", "in place"],
)
def test_refused(module: Any, batch: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Graph(module, batch)
    assert user_message(caught.value) == message

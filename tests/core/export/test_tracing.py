"""Tracing: which sizes an exported model takes, what is refused, and what must not matter."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import nn

from project.core.data.tensors import Tensors
from project.core.errors import ConfigError, user_message
from project.core.export.graph import Graph, plain_computation
from project.core.export.tracing import trace
from project.deploy.inputs import Input, Numbers, Picture
from project.deploy.model_card import Length
from project.models.base import Model
from tests.conftest import slow_except
from tests.core.export import nets

ANY = {"image": Picture(3)}
VECTORS = {"sequence": Numbers((None, 3)), "mask": Numbers((None,), "bool")}


VALUES = "the values of a tensor decide what it computes"
WITHOUT_VALUES = "Write torch.where in place of `if`; no assert of values, float(x), .item(), .tolist() or .numpy()"


def traced(
    module: nn.Module, batch: Tensors, raw: Mapping[str, Input] | None = None
) -> tuple[Graph, torch.export.ExportedProgram, dict[str, tuple[Length, ...]]]:
    graph = Graph(module, batch)
    return graph, *trace(graph, batch, nets.described(graph, batch, raw))


def line_of(net: Callable[..., Any], text: str) -> str:
    """Return FILE:LINE of a line of a net."""
    source, first = inspect.getsourcelines(net)
    return f"{inspect.getfile(net)}:{first + next(i for i, line in enumerate(source) if text in line)}"


def assert_same(graph: Graph, program: torch.export.ExportedProgram, batch: Tensors) -> None:
    tensors = [batch[name] for name in graph.inputs]
    with plain_computation(tensors):
        expected, found = graph(*tensors), program.module()(*tensors)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


SIZES: dict[type[Model], tuple[Length, Length]] = {
    nets.SizeChecks: (Length(4, None, 4), Length(6, 512)),
    nets.Squares: (Length(2), Length(2)),
    nets.Shorter: (Length(2), Length(2)),
    nets.FixedHeight: (Length(12, 12), Length(2)),
}


@pytest.mark.parametrize("net", slow_except(SIZES, nets.SizeChecks, nets.FixedHeight))
def test_sizes_that_a_net_takes(net: type[Model], messages: list[str]) -> None:
    """An exported graph does not contain the `raise` of the net: its conditions must be known elsewhere."""
    _, _, lengths = traced(nets.supervised(net()), nets.pictures(12, 12), ANY)
    assert lengths == {"image": (Length(3, 3), *SIZES[net])}
    warnings: dict[type[Model], str] = {
        nets.FixedHeight: f"the net fixes the height of image at 12, in {line_of(nets.FixedHeight, 'int(image')}",
        nets.SizeChecks: "the net takes only some sizes: the height of image must be at least 4 in steps of 4",
    }
    assert messages == [text for each, text in warnings.items() if each is net]


@pytest.mark.parametrize("count", [1, 3])
def test_sizes_of_described_pictures_are_fixed(count: int, messages: list[str]) -> None:
    """One sample is enough, and the batch is free all the same."""
    batch = nets.pictures(8, 8, count)
    graph, program, lengths = traced(nets.supervised(nets.Conv()), batch, {"image": Picture(3, 8)})
    assert lengths == {"image": (Length(3, 3), Length(8, 8), Length(8, 8))}
    for rows in (1, 5):
        assert_same(graph, program, nets.pictures(8, 8, rows))
    assert messages == []


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("kind", slow_except(["GRU", "LSTM"], "GRU"))
@pytest.mark.parametrize("length", slow_except([5, 1], 5))
def test_sequences_have_any_length(kind: str, length: int) -> None:
    """Neither the recurrent layer nor an example of length 1 fixes it, nor does an earlier trace by someone else."""
    torch.export.export(nets.Recurrent(kind).eval(), (), nets.sequences())
    module = nets.supervised(nets.Recurrent(kind))
    graph, program, lengths = traced(module, nets.sequences(length, count=1), VECTORS)
    assert lengths == {"sequence": (Length(2), Length(3, 3)), "mask": (Length(2),)}
    for other in (2, 9):
        assert_same(graph, program, nets.sequences(other, count=2))


@pytest.mark.parametrize(
    ("net", "text"),
    [
        (nets.IntBatch, "int(x"),
        (nets.LenBatch, "len(x"),
        (nets.LoopBatch, "for row"),
        (nets.StateBatch, "x + state"),
    ],
)
def test_net_that_fixes_the_batch_is_refused(net: type[Model], text: str, capfd: Any) -> None:
    """With a line of the net; torch alone would fix the batch at that of the example without a word."""
    with pytest.raises(ConfigError) as caught:
        traced(nets.supervised(net()), nets.vectors())
    assert user_message(caught.value) == (
        f"model.net ({net.__name__}) cannot be exported: it works only for some numbers of samples in a batch, at "
        f"{line_of(net, text)}\nWrite x.shape[0] in place of len(x) and int(x.shape[0]), and no loop over samples"
    )
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("net", "reason", "text", "remedy"),
    [
        (nets.IfValue, VALUES, "if x.sum() > 0:", WITHOUT_VALUES),
        (nets.ItemSize, VALUES, "count = int(x.abs().sum().item())", WITHOUT_VALUES),
        (
            nets.NumpyNet,
            ".numpy() is not supported for tensor subclasses.",
            'return {"y": torch.from_numpy',
            "torch.export cannot trace this line; compute it in another way",
        ),
    ],
)
def test_net_that_computes_with_values_is_refused(
    net: type[Model], reason: str, text: str, remedy: str, capfd: Any
) -> None:
    """In three lines, of which one is the net's, in place of torch's 200."""
    with pytest.raises(ConfigError) as caught:
        traced(nets.supervised(net()), nets.vectors())
    first, line, last = user_message(caught.value).splitlines()
    assert first == f"model.net ({net.__name__}) cannot be exported: {reason}"
    assert line.startswith(f"{line_of(net, text)}: {text}")
    assert last == remedy
    assert capfd.readouterr() == ("", "")


def refuse_to_compile(*_: Any) -> Any:
    raise AssertionError("the net is compiled")


@pytest.mark.parametrize("setting", slow_except(["training", "autocast", "channels_last", "compile"], "training"))
def test_settings_of_the_training_do_not_matter(setting: str) -> None:
    batch = nets.pictures(8, 8)
    module = nets.supervised(nets.Conv(), channels_last=setting == "channels_last")
    module.setup("fit")
    module.train()
    if setting == "compile":
        module.net.compile(backend=refuse_to_compile)
    with torch.autocast("cpu", torch.bfloat16, enabled=setting == "autocast"):
        graph, program, _ = traced(module, batch)
    assert_same(graph, program, batch)
    assert not module.training


def test_program_contains_no_data_and_no_weights_of_losses() -> None:
    _, program, _ = traced(nets.supervised(nets.Conv()), nets.pictures(8, 8))
    assert program.example_inputs is None
    assert [re.sub(r".*\.net\.", "", name) for name in program.state_dict] == ["layer.weight", "layer.bias"]


@pytest.mark.slow
def test_net_computes_the_same_after_it_was_traced() -> None:
    """Tracing replaces attributes of recurrent layers for a while."""
    module, batch = nets.supervised(nets.Recurrent()), nets.sequences()
    module.eval()
    before = module(batch)["mean"]
    traced(module, batch, VECTORS)
    after = module(batch)["mean"]
    assert torch.equal(after, before)
    after.sum().backward()
    assert all(value.grad is not None for value in module.net.parameters())

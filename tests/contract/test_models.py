"""Each registered model trains, is restored from its state, keeps samples apart, and can be exported."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from project.core.data.tensors import describe_shapes
from project.core.export.files import write_onnx
from project.core.export.graph import Graph
from project.core.export.sizes import resize_free
from project.core.export.tracing import trace
from project.deploy.inputs import Input, Numbers, Picture
from project.deploy.model_card import ModelCard
from project.deploy.predictor import Predictor
from project.registry import MODEL_REGISTRY
from tests.contract.samples import build, inputs, registered

MODELS = registered(MODEL_REGISTRY)
every_model = pytest.mark.parametrize("cls", MODELS)
# Their export takes a second or more.
LARGE = {"ResNet", "ResNet18", "ResNet34", "ResNet50", "SegmentationUNet", "SequenceClassifier", "TabularMLP"}
LARGE |= {"UNet", "ViT"}
# Of the blocks of ResNet, and alike; in bf16, a CPU takes seconds for their gradients.
DEEP = {"ResNet18", "ResNet34", "ResNet50", "SegmentationUNet", "UNet"}
IN_BF16 = [pytest.param(*each.values, id=each.id, marks=pytest.mark.slow if each.id in DEEP else ()) for each in MODELS]


@cache
def built(cls: Any) -> Any:
    """Return a model in evaluation mode, which the tests share: large ones take time to initialize."""
    return build(cls).eval()


def run(net: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the output of the model, by name."""
    output = net(**given)
    return {"": output} if isinstance(output, Tensor) else dict(output)


@every_model
def test_gradients_reach_every_parameter(cls: Any) -> None:
    check_gradients(build(cls), bf16=False)


@pytest.mark.parametrize("cls", IN_BF16)
def test_gradients_reach_every_parameter_in_bf16(cls: Any) -> None:
    check_gradients(build(cls), bf16=True)


def check_gradients(net: Any, bf16: bool) -> None:
    """Check that the output is finite, and that each parameter has a finite gradient."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = run(net, inputs(net))
    assert output
    assert all(value.isfinite().all() for value in output.values())
    floats = [value.float() for value in output.values() if value.is_floating_point()]
    sum((value * torch.rand(value.shape)).mean() for value in floats).backward()  # type: ignore[union-attr]
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"


@every_model
def test_state_dict_restores_the_model(cls: Any, tmp_path: Path) -> None:
    net, other = built(cls), build(cls, seed=1).eval()
    torch.save(net.state_dict(), tmp_path / "net.ckpt")
    other.load_state_dict(torch.load(tmp_path / "net.ckpt", weights_only=True))
    with torch.no_grad():
        one, two = run(net, inputs(net)), run(other, inputs(net))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@every_model
def test_samples_do_not_mix_in_evaluation(cls: Any) -> None:
    net = built(cls)
    given = inputs(net)
    size = len(next(iter(given.values())))
    with torch.no_grad():
        together, alone = run(net, given), run(net, {name: value[-1:] for name, value in given.items()})
    for name, value in together.items():
        if value.ndim and len(value) == size:
            torch.testing.assert_close(alone[name], value[-1:], rtol=1e-4, atol=1e-5)


class Holder(pl.LightningModule):
    """Module with a net."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


def describe(value: Tensor) -> Input:
    """Return pictures of any size for what looks like pictures, else numbers of this shape."""
    if value.ndim == 4 and value.shape[1] in (1, 3):
        return Picture(3 if value.shape[1] == 3 else 1)
    return Numbers(tuple(value.shape[1:]), str(value.dtype).removeprefix("torch."))


@pytest.mark.parametrize(
    "cls", [pytest.param(*item.values, id=item.id, marks=[pytest.mark.slow] * (item.id in LARGE)) for item in MODELS]
)
def test_exported_model_computes_the_same(cls: Any, tmp_path: Path) -> None:
    """With batches of 1 and 3, and with pictures of other sizes if the net takes any size."""
    given = inputs(net := build(cls))
    graph = Graph(Holder(net), given)
    raw = {name: describe(given[name]) for name in graph.inputs}
    program, lengths = trace(graph, given, raw)
    write_onnx(program, graph, ModelCard(raw, lengths, graph.outputs, graph.answers, "", {}), tmp_path / "model.onnx")
    predictor = Predictor(tmp_path / "model.onnx")
    traced = {name: given[name][:3] for name in graph.inputs}
    for batch in (traced, {name: value[:1] for name, value in traced.items()}, *resize_free(traced, raw, lengths)):
        with torch.no_grad():
            expected = graph(*batch.values())
        found = predictor.run({name: value.numpy() for name, value in batch.items()})
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            what = f"{name} of the exported net, for {describe_shapes(batch)}: "
            other = torch.from_numpy(found[name])
            torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-4, msg=what.__add__)


@every_model
def test_predict_returns_finite_tensors(cls: Any) -> None:
    net = built(cls)
    with torch.no_grad():
        output = run(net, inputs(net))
        prediction = net.predict(**output) if hasattr(net, "predict") else output
    assert all(isinstance(value, Tensor) and value.isfinite().all() for value in prediction.values())

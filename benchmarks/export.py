"""Exported nets: their size and the time of the export, and their speed compared with the net in torch, by turns.

The nets have random weights. In torch, they run in evaluation mode under inference_mode; both sides have one thread.

    python -m benchmarks.export --rounds 5
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from benchmarks.common import arguments, collect, report
from project.core.data.tensors import Tensors
from project.core.export.files import write_onnx, write_pt2
from project.core.export.graph import Graph
from project.core.export.tracing import trace
from project.deploy.inputs import Input, Numbers, Picture
from project.deploy.model_card import ModelCard
from project.deploy.predictor import Predictor
from project.models.resnet import ResNet, ResNet18
from project.models.sequence_classifier import SequenceClassifier
from project.models.tabular_mlp import TabularMLP
from project.models.unet import UNet
from project.models.vit import ViT

BATCH_SIZES = (1, 32)
BLOCK = 0.1  # seconds in which one side is called again and again, before the other one's turn


@dataclass
class Case:
    """A net and what it takes.

    Args:
        build: builds the net.
        raw: its inputs by name.
        sample: returns tensors `(B, ...)` of random samples for a batch size.
    """

    build: Callable[[], nn.Module]
    raw: dict[str, Input]
    sample: Callable[[int], Tensors]


class Holder(pl.LightningModule):
    """Module with a net."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


def _pictures(count: int, channels: int, size: int) -> Tensors:
    return {"image": torch.rand(count, channels, size, size)}


def _rows(count: int) -> Tensors:
    categories = torch.stack([torch.randint(3, (count,)), torch.randint(2, (count,))], 1)
    return {"numeric": torch.randn(count, 3), "missing": torch.rand(count, 3) < 0.1, "categorical": categories}


def _sequences(count: int) -> Tensors:
    return {"sequence": torch.randint(1000, (count, 32)), "mask": torch.ones(count, 32, dtype=torch.bool)}


CASES = {
    "ResNet of the digits, 8 x 8": Case(
        partial(ResNet, in_channels=1, num_classes=10),
        {"image": Picture(channels=1, size=8)},
        partial(_pictures, channels=1, size=8),
    ),
    "UNet of denoise, 64 x 64": Case(
        partial(UNet, in_channels=3, out_channels=3, width=16, depth=2, residual=True, batch_norm=False),
        {"image": Picture()},
        partial(_pictures, channels=3, size=64),
    ),
    "ResNet18, 64 x 64": Case(
        partial(ResNet18, in_channels=3, num_classes=10),
        {"image": Picture(size=64)},
        partial(_pictures, channels=3, size=64),
    ),
    "ViT, 6 blocks of 192, 64 x 64": Case(
        partial(ViT, in_channels=3, num_classes=10, patch=8, width=192, depth=6, heads=3),
        {"image": Picture(size=64)},
        partial(_pictures, channels=3, size=64),
    ),
    "TabularMLP of the table": Case(
        partial(TabularMLP, {"logits": 3, "prediction": 1}, num_numeric=3, cardinalities=[3, 2]),
        {"numeric": Numbers((3,)), "missing": Numbers((3,), "bool"), "categorical": Numbers((2,), "int64")},
        _rows,
    ),
    "SequenceClassifier, 32 tokens": Case(
        partial(SequenceClassifier, num_classes=10, num_tokens=1000),
        {"sequence": Numbers((None,), "int64"), "mask": Numbers((None,), "bool")},
        _sequences,
    ),
}


def measure(name: str, case: Case, folder: Path, rounds: int) -> None:
    """Export a net, compare its outputs and measure its speed."""
    torch.manual_seed(0)
    graph = Graph(Holder(case.build()), batch := case.sample(4))
    start = time.perf_counter()
    program, lengths = trace(graph, batch, case.raw)
    raw = {key: case.raw[key] for key in graph.inputs}
    card = ModelCard(raw, lengths, graph.outputs, graph.answers, config="", checkpoint={})
    write_onnx(program, graph, card, folder / "model.onnx")
    seconds = time.perf_counter() - start
    write_pt2(program, card, folder / "model.pt2")
    onnx, pt2 = ((folder / file).stat().st_size for file in ("model.onnx", "model.pt2"))
    predictor = Predictor(folder / "model.onnx")
    difference = max(differ(graph, predictor, case.sample(count)) for count in BATCH_SIZES)
    report(
        f"{name:<30} {seconds:5.1f} s to export   .onnx {onnx / 1e6:6.2f} MB   .pt2 {pt2 / 1e6:6.2f} MB   "
        f"largest difference {difference:.1e}"
    )
    for count in BATCH_SIZES:
        report(f"{name:<30} batch of {count:<2}   {compare_speed(graph, predictor, case.sample(count), rounds)}")


def differ(graph: Graph, predictor: Predictor, batch: Tensors) -> float:
    """Return the largest difference of an output, relative to its largest absolute value, or to 1 if that is larger."""
    with torch.inference_mode():
        expected: Tensors = graph(*(batch[name] for name in graph.inputs))
    found = predictor.run(to_numpy(graph, batch))
    return max(_relative(value, torch.from_numpy(found[name])) for name, value in expected.items())


def compare_speed(graph: Graph, predictor: Predictor, batch: Tensors, rounds: int) -> str:
    """Return medians and quartiles in milliseconds of the net in torch and in onnxruntime."""
    tensors, arrays = [batch[name] for name in graph.inputs], to_numpy(graph, batch)

    def in_torch() -> None:
        with torch.inference_mode():
            graph(*tensors)

    calls = {"torch": in_torch, "onnxruntime": lambda: predictor.run(arrays)}
    times = collect({name: partial(repeat, call) for name, call in calls.items()}, rounds)
    medians = {name: statistics.median(each) for name, each in times.items()}
    shown = "   ".join(f"{name} {_describe(each)}" for name, each in times.items())
    return f"{shown}   {medians['torch'] / medians['onnxruntime']:.1f} times as fast"


def repeat(call: Callable[[], object]) -> list[float]:
    """Return the seconds of each call in a block of them."""
    times: list[float] = []
    end = time.perf_counter() + BLOCK
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def to_numpy(graph: Graph, batch: Tensors) -> dict[str, np.ndarray]:
    """Return the inputs of a graph as arrays."""
    return {name: batch[name].numpy() for name in graph.inputs}


def _relative(expected: Tensor, value: Tensor) -> float:
    return float((expected.double() - value.double()).abs().max() / max(1.0, float(expected.abs().max())))


def _describe(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return f"{1000 * seconds[0]:.2f} ms"
    low, middle, high = (1000 * value for value in statistics.quantiles(seconds, n=4))
    return f"{middle:.2f} ms ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    given = arguments(__doc__)
    for title, each in CASES.items():
        with tempfile.TemporaryDirectory() as directory:
            measure(title, each, Path(directory), given.rounds)

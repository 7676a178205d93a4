"""Adaptive pooling computes the same at sizes that were not traced."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from project.core.export.files import write_onnx
from project.core.export.graph import Graph
from project.core.export.tracing import trace
from project.deploy.inputs import Input, Picture
from project.deploy.predictor import Predictor
from project.models.base import Model
from tests.core.export import nets

RAW: dict[str, Input] = {"image": Picture(3)}
POOLING: dict[str, Callable[[Tensor], Tensor]] = {
    "largest": lambda image: F.adaptive_max_pool2d(image, (3, 2)),
    "means": lambda image: F.adaptive_avg_pool2d(image, (2, 3)),
    "means of rows": lambda image: F.adaptive_avg_pool2d(image, (None, 5)),
    "means of a line": lambda image: F.adaptive_avg_pool1d(image.flatten(1, 2), 3),
    "means of a volume": lambda image: F.adaptive_avg_pool3d(image[:, None], (2, 4, 1)),
    "largest of a line": lambda image: F.adaptive_max_pool1d(image.flatten(1, 2), 4),
    "largest of a volume": lambda image: F.adaptive_max_pool3d(image[:, None], (1, 2, 3)),
    "area": lambda image: F.interpolate(image, (5, 7), mode="area"),
    "half of the area": lambda image: F.interpolate(image, scale_factor=0.5, mode="area"),
}
QUICK = ("largest", "means")


class Pooling(Model):
    """Net that applies an operation."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"output": self.operation(image)}


def export(operation: Callable[[Tensor], Tensor], folder: Path) -> tuple[Graph, Predictor]:
    """Return the graph of an operation that was traced with pictures of 12 pixels, and its file."""
    graph = Graph(nets.supervised(Pooling(operation)), batch := {"image": torch.rand(2, 3, 12, 12)})
    program, lengths = trace(graph, batch, RAW)
    write_onnx(program, graph, nets.card_of(graph, RAW, lengths), folder / "model.onnx")
    return graph, Predictor(folder / "model.onnx")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in POOLING]
)
def test_pooling_at_other_sizes(name: str, tmp_path: Path) -> None:
    """torch writes adaptive pooling with the windows of the traced size, and no check of sizes refuses others."""
    graph, predictor = export(POOLING[name], tmp_path)
    for size in ((12, 12), (13, 14), (14, 12), (30, 21), (7, 50)):
        image = torch.randn(3, 3, *size)
        found = torch.from_numpy(predictor.run({"image": image.numpy()})["output"])
        torch.testing.assert_close(found, graph(image)["output"], msg=f"{size}: ".__add__)


@pytest.mark.slow
def test_indices_of_the_largest_values_are_those_of_torch(tmp_path: Path) -> None:
    """They are left to torch, which is right about the traced size; the comparison of an export tries others."""
    graph, predictor = export(lambda image: F.adaptive_max_pool2d(image, 2, return_indices=True)[1], tmp_path)
    image = torch.randn(3, 3, 12, 12)
    assert torch.equal(torch.from_numpy(predictor.run({"image": image.numpy()})["output"]), graph(image)["output"])

"""Nets of the tests of export: each does one thing that exporting may get wrong."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from project.core.config.terms import LossTerm, NetTerm
from project.core.data.raw_inputs import raw_inputs
from project.core.data.tensors import Tensors
from project.core.export.graph import Graph
from project.deploy.inputs import Input
from project.deploy.model_card import Length, ModelCard
from project.losses.base import Loss
from project.models.base import Model
from project.modules.base import SupervisedModule


class Conv(Model):
    """Convolution of pictures, with a `predict`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image)}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the larger channel, `mask` (B, H, W), and its value."""
        value, mask = logits.max(1)
        return {"mask": mask, "value": value}


class SizeChecks(Model):
    """Net that takes only some sizes of pictures."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        if height % 4 or not 6 <= width <= 512:
            raise ValueError("wrong size")
        return {"mean": image.mean((2, 3))}


class Squares(Model):
    """Net that takes only squares."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if image.shape[2] != image.shape[3]:
            raise ValueError("no square")
        return {"mean": (image + image.transpose(2, 3)).mean((2, 3))}


class FixedHeight(Model):
    """Net that computes with a height that is no tensor."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height = int(image.shape[2])
        return {"mean": image.reshape(image.shape[0], 3, height, -1).mean((2, 3))}


class Shorter(Model):
    """Net with conditions on the order of sizes, which hold for pictures of any size."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        side = min(image.shape[2], image.shape[3])
        return {"mean": image[:, :, :side, :side].mean((2, 3))}


class IntBatch(Model):
    """Net that makes an integer of the number of samples."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        count = int(x.shape[0])
        return {"y": x.reshape(count, -1)}


class LenBatch(Model):
    """Net that asks for len()."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x.mean().expand(len(x))}


class LoopBatch(Model):
    """Net with a loop over samples."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": torch.stack([row.cumsum(0) for row in x])}


class StateBatch(Model):
    """Net with a state for a fixed number of samples."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        state = torch.ones(2, x.shape[1])
        return {"y": x + state}


class IfValue(Model):
    """Net that decides by the values of a tensor."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        if x.sum() > 0:
            x = x + 1
        return {"y": x}


class ItemSize(Model):
    """Net in which a value becomes a size."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        count = int(x.abs().sum().item())
        return {"y": x[:, :count]}


class NumpyNet(Model):
    """Net that computes with NumPy."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": torch.from_numpy(x.numpy() * 2)}


class Tokens(Model):
    """Net that embeds tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 2, padding_idx=0)

    def forward(self, token: Tensor) -> dict[str, Tensor]:
        return {"y": self.embed(token)}


class WithoutCounterpart(Model):
    """Net with an operation that ONNX does not have."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": torch.linalg.svd(x)[1]}


class Recurrent(Model):
    """Sequences of any length with a mask."""

    def __init__(self, kind: str = "GRU") -> None:
        super().__init__()
        self.units = getattr(nn, kind)(3, 4, batch_first=True)

    def forward(self, sequence: Tensor, mask: Tensor) -> dict[str, Tensor]:
        states = self.units(sequence)[0]
        return {"mean": states.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)}


class Optional(Model):
    """Net with optional inputs."""

    def forward(self, x: Tensor, y: Tensor | None = None, z: Tensor | None = None) -> dict[str, Tensor]:
        return {"sum": x + (0 if y is None else 2 * y) + (0 if z is None else 4 * z)}


class SameNames(Model):
    """Net whose names are those of inputs, and of values that `predict` passes on or changes."""

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"x": x + 1, "same": x + 2, "changed": x + 3, "add": x * 2, "count": 3}

    def predict(self, same: Tensor, changed: Tensor, **others: Tensor) -> dict[str, Any]:
        """Return one output as it is, and others that are called like something else."""
        return {"same": same, "changed": changed * 2, "x": same * 3, "note": "a text"}


class NamedLikeOperation(Model):
    """Net with an input that is called like an operation, after which torch names values."""

    def forward(self, cat: Tensor, x: Tensor) -> dict[str, Tensor]:
        return {"y": 2 * torch.cat([x, cat], 1)}


class SumsList(Model):
    """Net that takes a list of tensors."""

    def forward(self, x: Tensor, y: list[Tensor]) -> dict[str, Tensor]:
        return {"sum": x + y[0]}


class Noise(Model):
    """Net that draws random numbers in evaluation mode too."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x + torch.rand_like(x)}


class InPlace(Model):
    """Net that changes its input."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": x.mul_(2) + 1}


class TakesBatch(Model):
    """Net that takes the whole batch."""

    def forward(self, batch: Tensors) -> dict[str, Tensor]:
        return {"y": batch["x"]}


class Bare(Model):
    """Net that returns a single tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result

    def predict(self, output: Tensor) -> dict[str, Tensor]:
        """Return the larger one."""
        return {"best": output.argmax(1)}


class Distance(Loss):
    """Loss with weights, which no exported model needs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 7)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean()


def supervised(net: Model, **kwargs: Any) -> SupervisedModule:
    """Return a module that trains the net."""
    loss = {"distance": LossTerm(Distance())}
    return SupervisedModule(NetTerm(net), partial(torch.optim.SGD, lr=0.1), loss, **kwargs)


def vectors(**others: Tensor) -> Tensors:
    """Return a batch of vectors `x` (3, 4)."""
    return {"x": torch.linspace(-1, 1, 12).reshape(3, 4), "label": torch.arange(3)} | others


def pictures(height: int = 16, width: int = 12, count: int = 3) -> Tensors:
    """Return a batch of pictures."""
    generator = torch.Generator().manual_seed(0)
    return {"image": torch.rand(count, 3, height, width, generator=generator), "label": torch.arange(count)}


def sequences(length: int = 5, count: int = 3) -> Tensors:
    """Return a batch of sequences, of which the last ones are shorter."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.arange(length, length - count, -1)
    mask = torch.arange(length) < lengths.clamp(min=1)[:, None]
    return {"sequence": torch.rand(count, length, 3, generator=generator), "mask": mask}


def described(graph: Graph, batch: Tensors, raw: Mapping[str, Input] | None = None) -> dict[str, Input]:
    """Return the raw inputs of a graph: those given, else by the shapes of the batch."""
    return raw_inputs(None, batch, graph.inputs) | dict(raw or {})


def card_of(graph: Graph, inputs: dict[str, Input], lengths: dict[str, tuple[Length, ...]]) -> ModelCard:
    """Return a model card."""
    return ModelCard(inputs, lengths, graph.outputs, graph.answers, "name: test", {"file": "best.ckpt", "sha256": "0"})

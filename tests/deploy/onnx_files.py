"""A small ONNX file with a model card, built without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from project.deploy.inputs import Numbers, Picture
from project.deploy.model_card import METADATA_KEY, Length, ModelCard

# Of a grey picture whose sides are 4, 6, ..., 12, and two numbers.
CARD = ModelCard(
    inputs={"image": Picture(channels=1), "offset": Numbers((2,))},
    shapes={"image": (Length(1, 1), Length(4, 12, 2), Length(4, 12, 2)), "offset": (Length(2, 2),)},
    outputs={"brightness": "brightness", "shifted": "net_shifted"},
    answers={"shifted": "net_shifted", "is_bright": "is_bright"},
    config="name: tiny\nroot: experiments\n",
    checkpoint={"file": "best.ckpt", "sha256": "0" * 64},
    classes={"is_bright": ["dark", "bright"]},
)


def card_with(**values: Any) -> ModelCard:
    """Return CARD with other values."""
    return replace(CARD, **values)


def write_model(
    path: Path,
    card: ModelCard | None = CARD,
    image: Sequence[str | int] = ("batch", 1, "height", "width"),
    extra: Mapping[str, str] | None = None,
) -> Path:
    """Write a file that returns the mean of `image`, this added to `offset`, whether it is > 0.5, and the sum of all.

    Args:
        path: the file.
        card: its card; None writes none.
        image: dimensions of `image` in the graph.
        extra: further metadata.
    """
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["brightness"], keepdims=0),
        helper.make_node("Unsqueeze", ["brightness", "last"], ["column"]),
        helper.make_node("Add", ["offset", "column"], ["net_shifted"]),
        helper.make_node("Greater", ["brightness", "half"], ["greater"]),
        helper.make_node("Cast", ["greater"], ["is_bright"], to=TensorProto.INT64),
        helper.make_node("ReduceSum", ["brightness"], ["total"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("half", TensorProto.FLOAT, [], [0.5]),
    ]
    inputs = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, image),
        helper.make_tensor_value_info("offset", TensorProto.FLOAT, ["batch", 2]),
    ]
    outputs = [
        helper.make_tensor_value_info("brightness", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("net_shifted", TensorProto.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("is_bright", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("total", TensorProto.FLOAT, []),
    ]
    graph = helper.make_graph(nodes, "test", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    metadata = {} if card is None else {METADATA_KEY: card.to_text()}
    helper.set_model_props(model, metadata | dict(extra or {}))
    onnx.save(model, str(path))
    return path

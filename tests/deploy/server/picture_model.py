"""A small ONNX file with a model card that takes one picture and answers a class and a picture."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from project.deploy.inputs import Picture
from project.deploy.model_card import METADATA_KEY, Length, ModelCard

# Of grey pictures of any size.
CARD = ModelCard(
    inputs={"image": Picture(channels=1)},
    shapes={"image": (Length(1, 1), Length(1), Length(1))},
    outputs={"logits": "logits", "inverse": "inverse"},
    answers={"label": "label", "probability": "probability", "inverse": "inverse"},
    config='name: "pictures"\n',
    checkpoint={"file": "best.ckpt", "sha256": "0" * 64},
    classes={"label": ["white", "black"]},
)


def write_picture_model(path: Path, largest_picture: int | None = None) -> Path:
    """Write a file that returns the inverse of a picture, and whether that is white or black on the whole."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Sub", ["one", "image"], ["inverse"]),
        helper.make_node("ReduceMean", ["image", "axes"], ["black"], keepdims=0),
        helper.make_node("ReduceMean", ["inverse", "axes"], ["white"], keepdims=0),
        helper.make_node("Unsqueeze", ["black", "last"], ["column"]),
        helper.make_node("Unsqueeze", ["white", "last"], ["other"]),
        helper.make_node("Concat", ["other", "column"], ["logits"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["logits"], ["softmax"], axis=1),
        helper.make_node("ReduceMax", ["softmax", "last"], ["probability"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
        helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
    ]
    shape: list[str | int | None] = ["batch", 1, "height", "width"]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("inverse", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "test", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: replace(CARD, largest_picture=largest_picture).to_text()})
    onnx.save(model, str(path))
    return path


def png(pixels: np.ndarray) -> bytes:
    """Return pixels `(H, W)` as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "png")
    return file.getvalue()

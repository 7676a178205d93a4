"""Small ONNX files for the demo page: a classifier of pictures, a net that returns pictures, and one of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from project.deploy.inputs import Input, Numbers, Picture
from project.deploy.model_card import METADATA_KEY, Length, ModelCard

CLASSES = ("dark", "medium", "bright")


def write_classifier(path: Path, classes: Sequence[str] = CLASSES, name: str = "brightness") -> Path:
    """Write a classifier of the mean of a grey picture: below a third, below two thirds, above.

    Args:
        path: the file.
        classes: names of the three classes.
        name: name of the run.
    """
    graph = """
        (float[batch, 1, 8, 8] image) => (float[batch, 3] logits, int64[batch] label, float[batch] probability)
        <int64[3] axes = {1, 2, 3}, int64[2] column = {-1, 1}, int64[1] last = {1},
         float[1, 3] slopes = {0, 30, 60}, float[3] offsets = {0, -10, -30}>
        {
            mean = ReduceMean <keepdims = 0> (image, axes)
            means = Reshape (mean, column)
            products = MatMul (means, slopes)
            logits = Add (products, offsets)
            label = ArgMax <axis = 1, keepdims = 0> (logits)
            probabilities = Softmax <axis = 1> (logits)
            probability = ReduceMax <keepdims = 0> (probabilities, last)
        }
        """
    card = ModelCard(
        inputs={"image": Picture(channels=1, size=8)},
        shapes={"image": (Length(1, 1), Length(8, 8), Length(8, 8))},
        outputs={"logits": "logits"},
        answers={"label": "label", "probability": "probability"},
        config=f"name: {name}\n",
        checkpoint={"file": "best.ckpt", "sha256": "0" * 64},
        classes={"label": list(classes)},
    )
    return _write(path, graph, card)


def write_inverter(path: Path) -> Path:
    """Write a net that inverts a picture in colour, whose height and width are multiples of 4 from 8 to 2048."""
    graph = """
        (float[batch, 3, height, width] image) => (float[batch, 3, height, width] prediction)
        <float one = {1}>
        { prediction = Sub (one, image) }
        """
    sides = (Length(8, 2048, 4), Length(8, 2048, 4))
    return _write(path, graph, _card({"image": Picture(channels=3)}, {"image": (Length(3, 3), *sides)}, "prediction"))


def write_segmenter(path: Path) -> Path:
    """Write a net that returns whether each pixel of a grey picture is bright, as 0 and 1."""
    graph = """
        (float[batch, 1, height, width] image) => (int64[batch, 1, height, width] mask)
        <float half = {0.5}>
        {
            bright = Greater (image, half)
            mask = Cast <to = 7> (bright)
        }
        """
    sides = (Length(8, 64), Length(8, 64))
    return _write(path, graph, _card({"image": Picture(channels=1)}, {"image": (Length(1, 1), *sides)}, "mask"))


def write_sum(path: Path, answer: str = "total") -> Path:
    """Write a net that adds three numbers and a whole one.

    Args:
        path: the file.
        answer: name of the sum.
    """
    graph = """
        (float[batch, 3] measures, int64[batch] years) => (float[batch] total)
        <int64[1] last = {1}>
        {
            sums = ReduceSum <keepdims = 0> (measures, last)
            floats = Cast <to = 1> (years)
            total = Add (sums, floats)
        }
        """
    inputs = {"measures": Numbers((3,)), "years": Numbers((), "int64")}
    card = _card(inputs, {"measures": (Length(3, 3),), "years": ()}, "total")
    return _write(path, graph, replace(card, answers={answer: "total"}))


def write_frames(path: Path) -> Path:
    """Write a net that returns a sequence of any length as it is, an array (T, 2, 2)."""
    graph = """
        (float[batch, length, 2, 2] frames) => (float[batch, length, 2, 2] same)
        { same = Identity (frames) }
        """
    shapes = {"frames": (Length(), Length(2, 2), Length(2, 2))}
    return _write(path, graph, _card({"frames": Numbers((None, 2, 2))}, shapes, "same"))


def _card(inputs: Mapping[str, Input], shapes: Mapping[str, tuple[Length, ...]], output: str) -> ModelCard:
    return ModelCard(
        inputs=inputs,
        shapes=shapes,
        outputs={output: output},
        answers={output: output},
        config="name: small\n",
        checkpoint={"file": "best.ckpt", "sha256": "0" * 64},
    )


def _write(path: Path, graph: str, card: ModelCard) -> Path:
    """Write a graph of the text format of ONNX, with a card."""
    import onnx

    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> net {graph}')
    onnx.helper.set_model_props(model, {METADATA_KEY: card.to_text()})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path

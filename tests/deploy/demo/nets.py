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


def write_segmenter(path: Path, has_channel: bool = True) -> Path:
    """Write a net that returns whether each pixel of a grey picture is bright, as 0 and 1.

    Args:
        path: the file.
        has_channel: whether it returns `(1, H, W)` rather than `(H, W)`.
    """
    shape = "[batch, 1, height, width]" if has_channel else "[batch, height, width]"
    graph = f"""
        (float[batch, 1, height, width] image) => (int64{shape} mask)
        <float half = {{0.5}}, int64[1] axes = {{1}}>
        {{
            bright = Greater (image, half)
            numbers = Cast <to = 7> (bright)
            mask = ReduceMax <keepdims = {int(has_channel)}> (numbers, axes)
        }}
        """
    sides = (Length(8, 64), Length(8, 64))
    card = _card({"image": Picture(channels=1)}, {"image": (Length(1, 1), *sides)}, "mask")
    return _write(path, graph, replace(card, classes={"mask": ["background", "object"]}))


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


def write_difference(path: Path) -> Path:
    """Write a net that subtracts the mean of a grey picture from that of another one."""
    graph = """
        (float[batch, 1, 8, 8] one, float[batch, 1, 8, 8] other) => (float[batch] difference)
        <int64[3] axes = {1, 2, 3}>
        {
            differences = Sub (one, other)
            difference = ReduceMean <keepdims = 0> (differences, axes)
        }
        """
    names = ("one", "other")
    shapes = {name: (Length(1, 1), Length(8, 8), Length(8, 8)) for name in names}
    return _write(path, graph, _card({name: Picture(1, 8) for name in names}, shapes, "difference"))


def write_lookup(path: Path) -> Path:
    """Write a net that returns the row of a table of 4, as an embedding of a category does."""
    graph = """
        (int64[batch] region) => (float[batch] price)
        <float[4] table = {1, 2, 3, 4}>
        { price = Gather <axis = 0> (table, region) }
        """
    return _write(path, graph, _card({"region": Numbers((), "int64")}, {"region": ()}, "price"))


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

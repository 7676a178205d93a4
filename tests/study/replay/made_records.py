"""Records of replayed steps, made by hand."""

from pathlib import Path
from typing import Any

from PIL import Image

from project.study.replay.step_record import (
    ActivationRecord,
    LoggedComparison,
    ParameterRecord,
    SampleRecord,
    StepRecord,
    TensorRecord,
)


def make_record(step: int = 29, num_samples: int = 8, num_parameters: int = 6, **changes: Any) -> StepRecord:
    """Return a step with one sample whose values are far too large; `changes` are fields of it."""
    bad = num_samples // 2
    samples = [
        SampleRecord(row, 100 + row, f"scan{row}", {"cross_entropy": 2.5 - 0.1 * row / num_samples, "hinge": row / 7})
        for row in range(num_samples)
    ]
    peaks = [4096.0 if row == bad else 1.0 for row in range(num_samples)]
    pictures = [f"pictures/step{step}_image_{row}.png" for row in range(num_samples)]
    fields: dict[str, Any] = {
        "epoch": 2,
        "batches": [10],
        "seeds": [123456789],
        "samples": samples,
        "losses": {"cross_entropy": 2.298, "sum": 2.298},
        "divides": {"cross_entropy": True, "hinge": True},
        "tensors": [
            TensorRecord("image", [num_samples, 1, 8, 8], "float32", 0.0, 4096.0, 8.5, 0, peaks, pictures),
            TensorRecord("label", [num_samples], "int64", 0.0, 9.0, 4.4, 0),
        ],
        "parameters": [
            ParameterRecord(f"net.layers.{n}.weight", [16, 8, 3, 3], 4.0, 0.1 / (n + 1), 1e-3 / (n + 1))
            for n in range(num_parameters)
        ],
        "activations": [
            ActivationRecord("net.stem", "Conv2d", 0, [num_samples, 16, 8, 8], 0.1, 12.0, 900.0, 0.0, 0),
            ActivationRecord("net.relu", "ReLU", 0, [num_samples, 16, 8, 8], 0.2, 0.5, 3.0, 0.5, 0),
        ],
        "rates": {"lr-AdamW": 0.003},
    }
    return StepRecord(step, **fields | changes)


def make_comparison(**changes: Any) -> LoggedComparison:
    """Return a comparison of equal values; `changes` are fields of it."""
    fields: dict[str, Any] = {"compared": 24, "differing": [], "only_run": [], "first": 19, "last": 29}
    return LoggedComparison(**fields | changes)


def write_pictures(directory: Path, record: StepRecord, size: int = 8) -> None:
    """Write the pictures that a record names, each of another grey."""
    for tensor in record.tensors:
        for row, name in enumerate(tensor.pictures):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            picture = Image.new("L", (size, size), 40 + 20 * row % 200)
            picture.putpixel((row % size, 2), 255)
            picture.save(directory / name)

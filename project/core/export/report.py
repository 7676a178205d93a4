"""The report of an export: export_report.json."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from project.core.export.verification import CHECKPOINT, Comparison
from project.core.files import write_text


def describe_export(comparison: Comparison, paths: Mapping[str, Path], seconds: float) -> dict[str, Any]:
    """Return what the report contains, before speeds are measured.

    Args:
        comparison: the proof, which has ended.
        paths: where each file is.
        seconds: the time that tracing and writing took.
    """
    assert comparison.card is not None
    card = comparison.card
    mistakes = comparison.mistakes()
    report: dict[str, Any] = {
        "verified": not mistakes,
        "mistakes": mistakes,
        "samples": comparison.samples,
        "seconds_of_export": round(seconds, 2),
        "opset": next((_opset(path) for path in paths.values() if path.suffix == ".onnx"), None),
        "largest_picture": card.largest_picture,
        "checkpoint": {**card.checkpoint, "metrics": _to_json(comparison.metrics.get(CHECKPOINT, {}))},
        "files": {},
    }
    for file, path in paths.items():
        differences = comparison.differences[file].items()
        report["files"][path.name if mistakes else file] = {
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "largest_difference": _to_json({name: each.largest for name, each in differences}),
            "metrics": _to_json(comparison.metrics.get(file, {})),
        }
    return report


def add_speeds(report: dict[str, Any], milliseconds: Mapping[str, Mapping[str, float]]) -> None:
    """Add the milliseconds of checkpoint and files, by batch size."""
    for name, values in milliseconds.items():
        entry = report[CHECKPOINT] if name == CHECKPOINT else report["files"][name]
        entry["milliseconds"] = dict(values)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Write a report."""
    write_text(path, json.dumps(report, indent=2) + "\n")


def log_report(report: Mapping[str, Any], directory: Path) -> None:
    """Log a line about each file."""
    for file, entry in report["files"].items():
        differences = entry["largest_difference"]
        output = max(differences, key=lambda name: float(differences[name]))
        ratio = report[CHECKPOINT]["milliseconds"]["1"] / entry["milliseconds"]["1"]
        logger.info(
            f"wrote {directory / file} ({entry['bytes']:,} bytes): equal to the checkpoint (samples: "
            f"{report['samples']}, largest difference: {float(differences[output]):.2g} in {output}), "
            f"{ratio:.2g} times as fast"
        )


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _opset(path: Path) -> int:
    import onnx

    return max(int(each.version) for each in onnx.load(path).opset_import if not each.domain)


def _to_json(values: Mapping[str, float]) -> dict[str, float | str]:
    """Return values of which those that JSON does not have are texts: nan, inf, -inf."""
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}

"""Datasets of a configuration that read files which `predict --files` does not take."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from project.core.config.untyped_dump import dump_flow
from project.core.installation import COMMAND

_SPLITS = ("predict", "eval", "val", "train")


class Reading(NamedTuple):
    """A dataset that reads files of a kind.

    Args:
        name: its `type` in the yaml.
        options: options by which `predict` gives it another file.
    """

    name: str
    options: str


def find_reading(data: object, file: Path) -> Reading | None:
    """Return the first dataset of a configuration whose `path` is a file of the same kind, by the suffix.

    Args:
        data: the settings `data`.
        file: the file.
    """
    path = str(file.absolute())  # else it would be relative to data_dir
    if not isinstance(data, Mapping) or not file.is_file():
        return None
    for split in _SPLITS:
        entry = _find_entry(data.get(split), file.suffix.lower())
        if entry is None:
            continue
        is_own = split == "predict" and entry is data[split]  # rather than one inside of it
        if is_own:
            return Reading(str(entry["type"]), f"--data.predict.path {shlex.quote(path)}")
        given = {key: value for key, value in entry.items() if value is not None} | {"path": path}
        return Reading(str(entry["type"]), f"--data.predict {shlex.quote(dump_flow(given))}")
    return None


def predict_command(checkpoint: str, reading: Reading) -> str:
    """Return the command that predicts with a dataset."""
    return f"{COMMAND} predict --ckpt_path {shlex.quote(checkpoint)} {reading.options}"


def _find_entry(value: object, suffix: str) -> Mapping[str, Any] | None:
    """Return the entry of a dataset, or of one inside of it at any depth, that reads a file with a suffix."""
    parts: Iterable[object] = value if isinstance(value, list | tuple) else ()
    if isinstance(value, Mapping):
        path = value.get("path")
        if "type" in value and isinstance(path, str) and Path(path).suffix.lower() == suffix:
            return value
        parts = value.values()
    return next((found for part in parts if (found := _find_entry(part, suffix)) is not None), None)

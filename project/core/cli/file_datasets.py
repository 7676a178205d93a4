"""Datasets of a configuration that read files which `predict --files` does not take."""

import shlex
from collections.abc import Mapping
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
    if not isinstance(data, Mapping):
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


def _find_entry(entry: object, suffix: str) -> Mapping[str, Any] | None:
    """Return the entry of a dataset, or of one inside of it, that reads a file with a suffix."""
    if not isinstance(entry, Mapping) or "type" not in entry:
        return None
    path = entry.get("path")
    if isinstance(path, str) and Path(path).suffix.lower() == suffix:
        return entry
    return _find_entry(entry.get("dataset"), suffix)

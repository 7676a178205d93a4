"""Comparison of runs that must be equal to the last bit."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor

SAVED = (
    *("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers"),
    *("moving_average", "callbacks", "loops", "epoch"),
)
Leaves = dict[str, Any]  # by dotted path


def outcome(run: Path) -> Leaves:
    """Return weights, optimizers, schedulers, callbacks, loops, curves, metrics.csv, digests and the chain of a run."""
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    saved = {key: checkpoint[key] for key in SAVED if key in checkpoint}
    rows = [file.read_text() for file in run.glob("metrics.csv")]
    digests = [file.read_bytes() for file in run.glob("digests.bin")]
    links = [file.read_text().splitlines()[-1] for file in run.glob("states.jsonl")]  # it contains those before
    return flat(saved | {"curves": curves(run), "rows": rows, "digests": digests, "links": links})


def read_events(source: Path) -> Any:
    """Return the accumulator of an event file, or of a directory of event files, with all points and pictures."""
    return EventAccumulator(str(source), {"scalars": 0, "images": 0}).Reload()


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all scalars in TensorBoard as sorted (step, value) pairs, by tag."""
    points: dict[str, list[tuple[int, float]]] = {}
    for file in (run / "event").glob("events*"):  # one by one: TensorBoard orders files of the same second by name
        events = read_events(file)
        for tag in events.Tags()["scalars"]:
            points.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return {tag: sorted(found) for tag, found in points.items()}


def flat(value: Any, path: str = "") -> Leaves:
    """Return the leaves of nested dicts and sequences by dotted path."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {path: value}
    return {inner: leaf for key, item in items for inner, leaf in flat(item, f"{path}.{key}").items()}


def differing(one: Leaves, two: Leaves) -> list[str]:
    """Return the paths at which two outcomes differ."""
    return [path for path in {**one, **two} if not (path in one and path in two and same(one[path], two[path]))]


def same(one: Any, two: Any) -> bool:
    """Return whether two leaves are equal; NaN is equal to NaN."""
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.dtype == two.dtype and torch.equal(one.nan_to_num(7.5), two.nan_to_num(7.5))
    return bool(one == two) or (one != one and two != two)

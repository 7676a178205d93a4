"""What must be the same, to the last bit, of a run that was cut short and resumed."""

from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

SAVED = ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "callbacks", "loops", "epoch")


def outcome(run: Path) -> dict[str, Any]:
    """Weights, optimizers, schedulers, callbacks, loops and each curve's steps and values, by place."""
    checkpoint = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    saved = {key: checkpoint[key] for key in SAVED if key in checkpoint}
    return flat(saved | {"curves": curves(run)})


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of TensorBoard, all of them, by step; those of one step, if there are several, in any order."""
    points: dict[str, list[tuple[int, float]]] = {}
    for file in (run / "event").glob("events*"):  # one by one: files of one second are read in the order of their names
        events = EventAccumulator(str(file), {"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            points.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return {tag: sorted(found) for tag, found in points.items()}


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """The leaves of dicts and sequences by their places."""
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        return {place: value}
    return {inner: leaf for key, item in items for inner, leaf in flat(item, f"{place}.{key}").items()}


def differing(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """The places at which two outcomes differ."""
    return [place for place in {**one, **two} if not (place in one and place in two and same(one[place], two[place]))]


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.dtype == two.dtype and torch.equal(one.nan_to_num(7.5), two.nan_to_num(7.5))
    return bool(one == two) or (one != one and two != two)

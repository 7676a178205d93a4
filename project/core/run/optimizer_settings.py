"""Settings that optimizers and schedulers were built with; a checkpoint contains them, so that changes are noticed."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._pytree import tree_flatten

from project.core.errors import ConfigError

Settings = dict[str, Any]
IMPLEMENTATION = ("fused", "foreach")  # settings of how to compute, not of what
NEW_RUN = "use --finetune to start a new run"
# In the state of a scheduler: its position, and what follows from other settings.
_FOLLOWING = ("base_lrs", "last_epoch")


def read_settings(trainer: pl.Trainer) -> list[Settings]:
    """Return the settings of optimizers that were just built, with those of their schedulers, as plain data."""
    return [
        {
            "type": type(optimizer).__name__,
            "sizes": [len(group["params"]) for group in optimizer.param_groups],
            "dtypes": sorted({str(item.dtype) for group in optimizer.param_groups for item in group["params"]}),
            "defaults": _plain(optimizer.defaults),
            "groups": [_plain(group) for group in optimizer.param_groups],
            "schedulers": [
                _read_scheduler(config)
                for config in trainer.lr_scheduler_configs
                if config.scheduler.optimizer is optimizer
            ],
        }
        for optimizer in trainer.optimizers
    ]


def _read_scheduler(config: Any) -> Settings:
    scheduler = config.scheduler
    plateau = getattr(scheduler, "after", scheduler)  # that of a Warmup
    return {
        "type": type(scheduler).__name__,
        "interval": config.interval,
        "frequency": config.frequency,
        "monitor": [config.monitor, plateau.mode] if isinstance(plateau, ReduceLROnPlateau) else None,
        "functions": _functions(scheduler),
        "state": deepcopy(scheduler.state_dict()),
    }


def check_structure(saved: list[Settings], built: list[Settings]) -> None:
    """Check that the state of the saved optimizers and schedulers means the same for those that were built.

    Raises:
        ConfigError: they have another number, type, parameter groups, interval or monitor.
    """
    before, now = _outline(saved), _outline(built)
    for name in before | now:
        if before.get(name) != now.get(name):
            change = f"{name} (now {now.get(name, 'none')}, before {before.get(name, 'none')})"
            raise ConfigError(f"--resume cannot change {change}; {NEW_RUN}")


def describe_changes(before: Settings, now: Settings) -> list[str]:
    """Return how the settings of an optimizer and its schedulers differ, such as `lr is 0.5, was 0.1`."""
    texts = [text for one, two in zip(before["groups"], now["groups"], strict=True) for text in _compare(one, two)]
    for one, two in zip(before["schedulers"], now["schedulers"], strict=True):
        found = [*_compare(one["functions"], two["functions"]), *_compare_states(one["state"], two["state"])]
        if not found and not is_same(one["state"], two["state"]):
            found = [] if texts else [f"the course of {two['type']}"]
        texts += found
    return list(dict.fromkeys(texts))


def check_effect(before: Settings, now: Settings) -> None:
    """Raise ConfigError if a setting of the optimizer changed that no parameter group has."""
    for key, value in now["defaults"].items():
        if key not in before["defaults"] or is_same(before["defaults"][key], value):
            continue
        groups = zip(before["groups"], now["groups"], strict=True)
        if all(is_same(_base(one, key), _base(two, key)) for one, two in groups):
            owner = now["schedulers"][0]["type"] if now["schedulers"] else "each group of parameters"
            raise ConfigError(f"--resume cannot change {key} of {now['type']}: {owner} has its own")


def is_same(one: object, two: object) -> bool:
    """Return whether nested data is equal, also if it contains tensors."""
    (ones, structure), (twos, other) = tree_flatten(one), tree_flatten(two)
    return structure == other and all(_is_same_leaf(*pair) for pair in zip(ones, twos, strict=True))


def _is_same_leaf(one: object, two: object) -> bool:
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.dtype == two.dtype and torch.equal(one, two)
    return bool(one == two)


def _base(group: Settings, key: str) -> object:
    return group.get("initial_lr", group["lr"]) if key == "lr" else group.get(key)


def _compare(before: Settings, now: Settings) -> Iterator[str]:
    for key in now:
        is_following = key.startswith("_") or key in _FOLLOWING or (key == "lr" and "initial_lr" in now)
        if not is_following and not is_same(before.get(key), now[key]):
            yield f"{key.removeprefix('initial_')} is {now[key]}, was {before.get(key, 'not set')}"


def _compare_states(before: Settings, now: Settings, path: str = "") -> Iterator[str]:
    """Yield the differences between states of a scheduler, also of those in it, such as a SequentialLR has."""
    yield from (path + text for text in _compare(before, now))
    for key, value in now.items():
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            for number, (one, two) in enumerate(zip(before.get(key, ()), value, strict=False)):
                name = "after" if key == "_after" else f"schedulers.{number}"
                yield from _compare_states(one, two, f"{path}{name}.")


def _functions(scheduler: object) -> dict[str, list[str]]:
    """Return the names of a scheduler's functions by attribute, also of the schedulers in it."""
    functions = {name: names for name, value in vars(scheduler).items() if (names := _function_names(value))}
    for value in vars(scheduler).values():
        for number, inner in enumerate(value if isinstance(value, list) else ()):
            if isinstance(inner, LRScheduler):
                functions |= {f"schedulers.{number}.{name}": names for name, names in _functions(inner).items()}
    return functions


def _plain(group: Settings) -> Settings:
    return deepcopy({key: value for key, value in group.items() if key not in ("params", *IMPLEMENTATION)})


def _function_names(value: object) -> list[str]:
    """Return the names of functions, which the state of a scheduler does not contain."""
    values = value if isinstance(value, list) else [value]
    return [f"{each.__module__}.{each.__qualname__}" for each in values if hasattr(each, "__qualname__")]


def _outline(settings: list[Settings]) -> dict[str, Any]:
    """Return what must not change, by its name in messages."""
    outline: dict[str, Any] = {"the number of optimizers": len(settings)}
    for number, each in enumerate(settings):
        owner = "the optimizer" if len(settings) == 1 else f"optimizer {number}"
        outline[f"the type of {owner}"] = each["type"]
        outline[f"the parameter groups of {owner}"] = each["sizes"]
        for name in ("type", "interval", "frequency", "monitor"):
            values = [str(scheduler[name]) for scheduler in each["schedulers"]]
            outline[f"the {name} of the scheduler of {owner}"] = " and ".join(values) or "none"
    return outline

"""Changes of the settings of optimizers and schedulers when a run is resumed.

The moments of an optimizer and the position of a schedule stay; the settings are new. A schedule is built with the new
settings and stepped to its position: many compute a learning rate from the previous one, so to replace only the first
one, or the arguments, would be wrong.
"""

import warnings
from copy import deepcopy
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from project.core.errors import ConfigError
from project.core.model.schedulers import Schedule
from project.core.run.optimizer_settings import (
    IMPLEMENTATION,
    NEW_RUN,
    Settings,
    check_effect,
    describe_changes,
    is_same,
)

_PATHS = ("model.optimizer", "model.scheduler", "model.groups")
_EPOCHS = ("data.batch_size", "data.train", "trainer.accumulate_grad_batches", "trainer.limit_train_batches")
_LENGTHS = ("trainer.max_epochs", "trainer.max_steps")


def apply_changes(
    trainer: pl.Trainer,
    saved: list[Settings],
    built: list[Settings],
    checkpoint: dict[str, Any],
    paths: list[str],
) -> None:
    """Write changed settings into a loaded checkpoint, before Lightning restores it, and log them.

    Args:
        trainer: its optimizers and schedulers were built with the new settings. Schedulers are stepped.
        saved: the settings in the checkpoint.
        built: the new settings.
        checkpoint: Lightning's dict.
        paths: config paths whose values differ from those in the checkpoint.

    Raises:
        ConfigError: a change cannot be applied.
    """
    own = [path for path in paths if path.startswith(_PATHS) and not path.endswith(IMPLEMENTATION)]
    is_applied = False
    states = checkpoint["optimizer_states"]
    for optimizer, before, now, state in zip(trainer.optimizers, saved, built, states, strict=True):
        check_effect(before, now)
        _check_length(before, now, paths)
        texts = describe_changes(before, now)
        if texts:
            _apply(trainer, optimizer, (before, now), (state, checkpoint["lr_schedulers"]), texts)
            is_applied = True
    if own and not is_applied:
        logger.warning(f"the change of {', '.join(own)} has no effect on optimizer and scheduler")


def _check_length(before: Settings, now: Settings, paths: list[str]) -> None:
    """Raise ConfigError if the length of a schedule changed because an epoch has another number of steps now.

    The steps that were done are those of the old epochs, so the new length would be wrong.
    """
    changed = [path for path in paths if path.startswith(_EPOCHS)]
    for one, two in zip(before["schedulers"], now["schedulers"], strict=True):
        (path, total), given = _find_total(two["state"]), [path for path in paths if path.endswith(".total")]
        if two["interval"] == "step" and _find_total(one["state"]) != (path, total) and changed and not given:
            raise ConfigError(
                f"--resume cannot change {changed[0]}: {two['type']} takes its length from the number of steps per "
                f"epoch; set --model.scheduler.{path}, in steps"
            )


def _find_total(state: Settings, path: str = "") -> tuple[str, Any]:
    """Return the path and value of the length of a schedule, or of the last one in a Warmup or SequentialLR."""
    if after := state.get("_after"):
        return _find_total(after[-1], f"{path}after.")
    if schedulers := state.get("_schedulers"):
        return _find_total(schedulers[-1], f"{path}schedulers.{len(schedulers) - 1}.")
    return f"{path}total", state.get("total")


def check_known(trainer: pl.Trainer, paths: list[str]) -> None:
    """Raise ConfigError if a setting may have changed that a checkpoint of an older version does not contain."""
    has_length = any(isinstance(config.scheduler, Schedule) for config in trainer.lr_scheduler_configs)
    watched = (*_PATHS, *_LENGTHS) if has_length else _PATHS
    for path in paths:
        if path.startswith(watched):
            raise ConfigError(
                f"--resume cannot change {path}: an older version of the engine saved this checkpoint, without the "
                f"settings of the optimizer; {NEW_RUN}"
            )


def _apply(
    trainer: pl.Trainer,
    optimizer: Optimizer,
    settings: tuple[Settings, Settings],
    states: tuple[dict[str, Any], list[dict[str, Any]]],
    texts: list[str],
) -> None:
    """Change the states of an optimizer and of its scheduler, and log the texts that describe the changes."""
    (before, now), (state, schedules) = settings, states
    groups, configs = state["param_groups"], trainer.lr_scheduler_configs
    old_rates = [group["lr"] for group in groups]
    own = [number for number, config in enumerate(configs) if config.scheduler.optimizer is optimizer]
    if len(own) > 1:
        raise ConfigError(f"--resume cannot apply `{texts[0]}`: {now['type']} has several schedulers; {NEW_RUN}")
    for number in own:
        scheduler: Any = configs[number].scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            _change_plateau(scheduler, groups, schedules[number], (before, now))
        else:
            schedules[number] = _replay(optimizer, scheduler, groups, schedules[number])
    if not own:
        _change_groups(groups, before, now)
    rates = [group["lr"] for group in groups]
    if rates != old_rates:
        texts = [*texts, f"the next learning rate is {_join(rates)} instead of {_join(old_rates)}"]
    names = " and ".join([now["type"], *(scheduler["type"] for scheduler in now["schedulers"])])
    logger.info(f"changed settings of {names}: {'; '.join(texts)}")


def _change_groups(groups: list[dict[str, Any]], before: Settings, now: Settings) -> None:
    """Change the settings of parameter groups that no scheduler changes.

    Raises:
        ConfigError: the training itself has changed such a setting.
    """
    for group, old, new in zip(groups, before["groups"], now["groups"], strict=True):
        for key in new:
            if is_same(old.get(key), new[key]):
                continue
            if not is_same(group.get(key), old.get(key)):
                raise ConfigError(
                    f"--resume cannot change {key} from {old.get(key)} to {new[key]}: the training itself has set it "
                    f"to {group.get(key)}; {NEW_RUN}"
                )
            group[key] = new[key]


def _change_plateau(
    scheduler: ReduceLROnPlateau,
    groups: list[dict[str, Any]],
    schedule: dict[str, Any],
    settings: tuple[Settings, Settings],
) -> None:
    """Change the settings of a ReduceLROnPlateau, and scale the learning rates by the ratio of the new to the old."""
    before, now = settings
    for group, old, new in zip(groups, before["groups"], now["groups"], strict=True):
        rate = new["lr"] if group["lr"] == old["lr"] else group["lr"] * (new["lr"] / old["lr"])
        changed = {key: value for key, value in new.items() if not is_same(old.get(key), value)}
        group |= changed | ({"lr": rate} if "lr" in changed else {})
    old_state, new_state = (settings["schedulers"][0]["state"] for settings in (before, now))
    schedule |= {key: value for key, value in new_state.items() if not is_same(old_state.get(key), value)}
    rates = [group["lr"] for group in groups]
    # The key of the last learning rates is private; they are the list that `get_last_lr` returns.
    schedule |= {key: rates for key, value in scheduler.state_dict().items() if value is scheduler.get_last_lr()}


def _replay(
    optimizer: Optimizer, scheduler: object, groups: list[dict[str, Any]], schedule: dict[str, Any]
) -> dict[str, Any]:
    """Step a scheduler that was just built to the position of another; change the groups, and return its state."""
    try:
        if not isinstance(scheduler, LRScheduler):
            raise TypeError("it is no scheduler of torch")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch expects a step of the optimizer before each
            for _ in range(_position(schedule)):
                scheduler.step()
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        name = type(scheduler).__name__
        raise ConfigError(f"--resume cannot continue {name} with changed settings: {error}; {NEW_RUN}") from error
    for group, stepped in zip(groups, optimizer.param_groups, strict=True):
        group |= deepcopy({key: value for key, value in stepped.items() if key != "params"})
    return deepcopy(scheduler.state_dict())


def _position(schedule: dict[str, Any]) -> int:
    """Return how often a scheduler was stepped."""
    if "last_epoch" in schedule:
        return int(schedule["last_epoch"])
    (inner,) = (value for value in schedule.values() if isinstance(value, list) and isinstance(value[0], dict))
    return _position(inner[0])  # ChainedScheduler has no position of its own


def _join(rates: list[float]) -> str:
    return ", ".join(f"{rate:.4g}" for rate in dict.fromkeys(rates))

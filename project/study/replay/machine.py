"""The machine of a replay: its threads, and in what it differs from that of the run."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from loguru import logger

from project.core.errors import join_names, shorten, show_value, without_commands
from project.core.run.environment import describe_environment
from project.core.run.git import GitState, read_git

_MOST_THREADS = 1024
_LONGEST = 1000  # characters of a line: environment.json may be a stranger's
_LIBRARIES = ("pytorch_lightning", "lightning_fabric")
_NUMERICS, _PACKAGES = "numerics", "packages"
# Groups and names in environment.json on which rounding depends.
_COMPARED = (("processor", "instruction_sets"), ("processor", "torch_uses"), ("gpu", None), ("variables", None))
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # variables whose effect `using_threads` repeats


@contextmanager
def using_threads(environment: Mapping[str, Any]) -> Iterator[None]:
    """Use as many threads as a run did, in the `with` block: sums are rounded in another order with more."""
    threads = environment.get("threads")
    count = threads.get("torch") if isinstance(threads, dict) else None
    before = torch.get_num_threads()
    if type(count) is int and 1 <= count <= _MOST_THREADS:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing of a training in the `with` block: a run that is trained again says nothing new."""
    engine = f"{__name__.partition('.')[0]}.core"
    sources = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [source.level for source in sources]
    logger.disable(engine)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for source in sources:
                source.setLevel(logging.ERROR)
            yield
    finally:
        logger.enable(engine)
        for source, level in zip(sources, levels, strict=True):
            source.setLevel(level)


def describe_rounding(environment: Mapping[str, Any], trainer: pl.Trainer) -> list[str]:
    """Return why values may differ from those of a run by rounding: its machine was another one; empty if it was not.

    Args:
        environment: the content of environment.json; empty for a run that has none.
        trainer: the trainer of the replay.
    """
    if not environment:
        return []
    now = describe_environment(trainer, GitState(None, None))
    before_print, print_now = environment.get(_NUMERICS), now.get(_NUMERICS)
    if before_print is not None and print_now is not None and before_print == print_now:
        return []
    if found := [*_torch_difference(environment, now), *_differences(environment, now)]:
        return [_line(f"values may differ by rounding: {'; '.join(found)}")]
    are_known = before_print is not None and print_now is not None
    return ["values may differ by rounding: this machine rounds sums differently"] if are_known else []


def describe_other_code(environment: Mapping[str, Any]) -> list[str]:
    """Return in what the code in the working directory differs from that of a run; empty if it does not."""
    git, present = _group(environment, "git"), read_git()
    own = {"commit": present.commit, "is_dirty": present.is_dirty}
    if git == own or not git.get("commit"):
        return []
    return [_line(f"the code is at {_describe_code(own)}, the run was at {_describe_code(git)}")]


def _line(text: str) -> str:
    """Return a line in which the texts of a stranger's file do nothing to a terminal."""
    return without_commands(shorten(text, _LONGEST))


def _torch_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    versions = [_group(each, _PACKAGES).get("torch") for each in (before, now)]
    return (
        [f"torch was {versions[0]} and is {versions[1]}"] if None not in versions and versions[0] != versions[1] else []
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for group, name in _COMPARED:
        earlier, current = _group(before, group), _group(now, group)
        names = [name] if name else [*dict.fromkeys([*earlier, *current])]
        names = [each for each in names if each not in _THREADS and earlier.get(each) != current.get(each)]
        if name or len(names) == 1:
            found += [
                f"{group} {each} was {_show(earlier.get(each))} and is {_show(current.get(each))}" for each in names
            ]
        elif names:
            found.append(f"{group} {join_names(names)} differ")
    return found


def _group(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = environment.get(name)
    return group if isinstance(group, dict) else {}


def _show(value: object) -> str:
    return "unset" if value is None else show_value(value)


def _describe_code(git: Mapping[str, Any]) -> str:
    return f"{str(git.get('commit'))[:10]}{'+' if git.get('is_dirty') else ''}"

"""Measurements of exported files: their speed, and the largest picture that they take."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from project.core.data.tensors import Tensors
from project.core.export.verification import Run
from project.deploy import memory
from project.deploy.model_card import ModelCard

_BATCH_SIZES = (1, 32)
_SECONDS = 1.0  # of measuring, for each batch size
_MAX_SECONDS = 5.0  # of one call of each function; larger batches are left out
_PICTURE_SECONDS = 20  # of measuring the largest picture


def measure_speed(runs: Mapping[str, Run], inputs: Tensors) -> dict[str, dict[str, float]]:
    """Return the milliseconds of each function by batch size: medians with one thread of torch, called by turns.

    Of slow nets, only batches of one are measured.

    Args:
        runs: the functions by name.
        inputs: rows that are repeated up to the batch size.
    """
    milliseconds: dict[str, dict[str, float]] = {name: {} for name in runs}
    threads, seconds_per_sample = torch.get_num_threads(), 0.0
    torch.set_num_threads(1)
    try:
        for size in _BATCH_SIZES:
            if size * seconds_per_sample > _MAX_SECONDS:
                break
            batch = {name: value[torch.arange(size) % len(value)] for name, value in inputs.items()}
            times = _time(runs, batch)
            seconds_per_sample = sum(times.values()) / size
            for name, seconds in times.items():
                milliseconds[name][str(size)] = round(1000 * seconds, 4)
    finally:
        torch.set_num_threads(threads)
    return milliseconds


def _time(runs: Mapping[str, Run], batch: Tensors) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = perf_counter() + _SECONDS
    while not times[next(iter(runs))] or perf_counter() < end:
        for name, run in runs.items():
            start = perf_counter()
            with torch.no_grad():
                run(batch)
            times[name].append(perf_counter() - start)
    # The first call also allocates memory.
    return {name: median(each[1:] or each) for name, each in times.items()}


def measure_largest_picture(path: Path, card: ModelCard) -> int | None:
    """Return height and width of the largest square picture for which a file needs at most 1 GB; None if it is unknown.

    Another process measures it, which contains nothing else: the memory that a server needs.
    """
    if not memory.free_pictures(card):
        return None
    root = str(Path(memory.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", memory.__name__, str(path), str(_PICTURE_SECONDS)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        try:
            printed, _ = child.communicate(timeout=60 + _PICTURE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            printed, _ = child.communicate()
        except BaseException:  # such as Ctrl-C
            child.kill()
            raise
    sizes = printed.split()  # one a line, also of a process that was killed for its memory
    return int(sizes[-1]) if sizes else None

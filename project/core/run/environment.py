"""What the numbers of a run may depend on apart from its configuration: environment.json."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from project.core.run.git import GitState
from project.core.run.numerics import numeric_variables, numerics_fingerprint, read_processor

_INSTRUCTION_SETS = re.compile(r"sse4|avx|fma$|f16c|amx|asimd|sve|bf16|i8mm")


def describe_environment(trainer: pl.Trainer, git: GitState) -> dict[str, dict[str, Any]]:
    """Return what environment.json of a run contains: groups of texts and numbers, null for what is not known.

    Args:
        trainer: a trainer that has set up its devices.
        git: state of the code when the run started.
    """
    model, sets = _read_processor()
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return {
        "python": {"version": platform.python_version(), "implementation": platform.python_implementation()},
        "platform": {"system": platform.platform(), "machine": platform.machine()},
        "processor": {
            "model": model,
            "instruction_sets": sets,
            "torch_uses": torch.backends.cpu.get_cpu_capability(),
            "count": os.cpu_count(),
            "available": len(affinity(0)) if affinity else None,
        },
        "threads": {
            "torch": torch.get_num_threads(),
            "torch_interop": torch.get_num_interop_threads(),
            "processes": trainer.world_size,
        },
        "numerics": {"fingerprint": _fingerprint(trainer)},
        "gpu": _describe_gpu(trainer),
        "variables": numeric_variables(),
        "git": {"commit": git.commit, "is_dirty": git.is_dirty},
        "packages": _list_packages(),
    }


def _read_processor() -> tuple[str | None, str | None]:
    """Return the model of the processor and those of its instruction sets that change how fast sums are rounded."""
    facts = read_processor()
    if not facts:
        return platform.processor() or None, None
    flags = facts.get("flags", facts.get("Features", "")).split()
    sets = " ".join(sorted(flag for flag in flags if _INSTRUCTION_SETS.match(flag)))
    return facts.get("model name"), sets or None


def _fingerprint(trainer: pl.Trainer) -> str | None:
    device = trainer.strategy.root_device
    return numerics_fingerprint(device) if device.type in ("cpu", "cuda") else None


def _describe_gpu(trainer: pl.Trainer) -> dict[str, str | int | None]:
    """Return the GPUs that the run uses on this machine, and their libraries; a run on CPUs starts none."""
    if trainer.strategy.root_device.type != "cuda":
        return {}
    names: Mapping[str, str] = {f"cuda:{number}": torch.cuda.get_device_name(number) for number in trainer.device_ids}
    libraries = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return {**names, **libraries}


def _list_packages() -> dict[str, str]:
    """Return the versions of the installed packages by name.

    Names of directories tell them; `importlib.metadata` would read a file of each package, which takes ten times as
    long.
    """
    found: dict[str, str] = {}
    for path in dict.fromkeys(sys.path):
        try:
            entries = [entry.name for entry in Path(path or ".").iterdir()]
        except OSError:  # a zip file, or nothing
            continue
        for entry in entries:
            name, _, version = entry.removesuffix(".dist-info").partition("-")
            if entry.endswith(".dist-info") and version:
                found.setdefault(name, version)  # the first one on the path is imported
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))

"""Checkpoints: which one is meant, and reading it safely."""

import pickle
from pathlib import Path
from typing import Any

import torch

from project.core.errors import ConfigError, did_you_mean
from project.core.saving import BEST


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a file, a run's folder, or a folder of checkpoints stands for: the best, else the newest.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*")])
        raise ConfigError(f"checkpoint {path} does not exist{near}")
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    if (best := folder / f"{BEST}.ckpt").is_file():
        return best
    found = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise ConfigError(f"{path} holds no checkpoint: no *.ckpt in {folder}")
    return found[-1]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU; only plain data, so a stranger's file runs no code.

    Raises:
        ConfigError: it is not a checkpoint of this project, is damaged, or holds more than plain data.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0].partition("This file can still be loaded")[0].strip()
        raise ConfigError(f"checkpoint {path} holds more than plain data and was not loaded\n{reason}") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"checkpoint {path} cannot be read: it is damaged or no checkpoint ({what})") from error
    if not isinstance(checkpoint, dict) or "run_config" not in checkpoint or "state_dict" not in checkpoint:
        raise ConfigError(f"{path} is not a checkpoint of a run: it has no `state_dict` and `run_config`")
    return checkpoint


def load_weights(module: torch.nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Loads a checkpoint's weights, all of them.

    Raises:
        ConfigError: the checkpoint is of another net.
    """
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ConfigError(
            f"checkpoint {path} does not fit this model\n{lines[1] if len(lines) > 1 else lines[0]}"
        ) from error


def run_of(checkpoint: Path) -> Path:
    """The run's folder that a checkpoint lies in; its own folder where it was copied elsewhere."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent

"""Checkpoint files: which one is meant, and reading one safely."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from project.core.errors import ConfigError, did_you_mean

BEST, LAST = "best.ckpt", "last.ckpt"
_UNSAFE = re.compile(r"(?<=GLOBAL )[\w.]+")
_STEP = re.compile(r"epoch_\d+_step_(\d+)\.ckpt")


def file_of_step(epoch: int, step: int) -> str:
    """The name of the checkpoint written in an epoch behind a step."""
    return f"epoch_{epoch:04d}_step_{step:06d}.ckpt"


def files_by_step(folder: Path) -> dict[Path, int]:
    """The checkpoints that are named by their steps, the newest first."""
    steps = {path: int(match[1]) for path in folder.glob("*.ckpt") if (match := _STEP.fullmatch(path.name))}
    return dict(sorted(steps.items(), key=lambda item: item[1], reverse=True))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a file, a run's folder, or a folder of checkpoints stands for: the best, else the newest.

    Raises:
        ConfigError: there is none.
    """
    files = _named(path)
    return next((file for file in files if file.name == BEST), files[0])


def find_resumable(path: Path) -> tuple[Path, dict[str, Any]]:
    """The newest readable checkpoint from which a run can go on, and its content; a damaged one is skipped.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        checkpoint = read_checkpoint(path)
        if checkpoint.get("resumable"):
            return path, checkpoint
        raise ConfigError(f"{path} was not written behind a step of the optimizer: no run can go on from it exactly")
    seen = set()
    for file in _named(path):
        if (inode := file.stat().st_ino) in seen:
            continue
        seen.add(inode)
        try:
            checkpoint = read_checkpoint(file)
        except ConfigError as error:
            logger.warning(f"{error}; the one before it is taken")
            continue
        if checkpoint.get("resumable"):
            return file, checkpoint
    raise ConfigError(f"{path} holds no checkpoint from which a run could go on")


def _named(path: Path) -> list[Path]:
    """The file, or the checkpoints of a folder: the last, the others by their steps, and the rest by their age."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*")])
        raise ConfigError(f"checkpoint {path} does not exist{near}")
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    rest = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime, reverse=True)
    if not rest:
        raise ConfigError(f"{path} holds no checkpoint: no *.ckpt in {folder}")
    last = [folder / LAST] if (folder / LAST).is_file() else []
    return list(dict.fromkeys([*last, *files_by_step(folder), *rest]))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint of a run onto the CPU.

    Raises:
        ConfigError: it is not a checkpoint of this project, is damaged, or holds more than plain data.
    """
    checkpoint = read_plain(path)
    if not isinstance(checkpoint, dict) or "run_config" not in checkpoint or "state_dict" not in checkpoint:
        raise ConfigError(f"{path} is not a checkpoint of a run: it has no `state_dict` and `run_config`")
    return checkpoint


def read_plain(path: Path) -> Any:
    """Reads a file of torch's onto the CPU; only plain data, so a stranger's file runs no code.

    Raises:
        ConfigError: it is damaged, or holds more than plain data.
    """
    try:
        if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip():  # torch itself does not look at the checksums
            raise ValueError("a checksum is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever bytes that are no pickle lead to
        unsafe = _UNSAFE.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if unsafe:
            raise ConfigError(
                f"checkpoint {path} holds more than plain data and was not loaded\n"
                f"{unsafe[0]} is no tensor, number or text"
            ) from error
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"checkpoint {path} cannot be read: it is damaged or no checkpoint ({what})") from error


def load_weights(module: torch.nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Loads a checkpoint's weights, all of them.

    Raises:
        ConfigError: the checkpoint is of another net.
    """
    floats = [value for value in checkpoint["state_dict"].values() if value.is_floating_point()]
    if floats and all(value.dtype is torch.float64 for value in floats):
        module.double()  # trained under 64-true, and rounded otherwise
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

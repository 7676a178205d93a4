"""Checkpoint files: finding the one that a path means, and loading it safely."""

import argparse
import errno
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from torch import Tensor
from torch.nn.parameter import is_lazy

from project.core.errors import ConfigError, did_you_mean, first_line, missing_package, shorten
from project.core.model.fitting import adopt_shapes, check_fitted
from project.core.run.checkpoint_header import CONFIG, NewerFormatError, read_header
from project.deploy.inputs import Input, InputError, from_json

BEST, LAST = "best.ckpt", "last.ckpt"
EXPORTED = (".onnx", ".pt2")  # suffixes of the files that `export` writes
_MAX_NAMES = 3  # of tensors, in a message
_SAFETENSORS = ".safetensors"
_UNSAFE = re.compile(r"(?<=GLOBAL )[\w.]+")  # matched: a class that torch refuses to load
_STEP = re.compile(r"epoch_\d+_step_(\d+)\.ckpt")


@dataclass
class LoadedCheckpoint:
    """A checkpoint of a run, loaded to the CPU.

    Args:
        path: the file.
        content: Lightning's dict; empty after `take_content`.
        sha256: checksum of the file, if it is exported.
        inode: identifies the file: the path of a run that trains may soon be that of another one.

    Raises:
        NewerFormatError: a newer version of the engine saved it.
    """

    path: Path
    content: dict[str, Any]
    sha256: str = field(default="", kw_only=True)
    inode: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        self.step, self.epoch = int(self.content.get("global_step", 0)), int(self.content.get("epoch", 0))
        self.header = read_header(self.content, self.path)

    @property
    def run_directory(self) -> Path | None:
        """The run directory; None for a checkpoint that was copied elsewhere."""
        return run_dir_of(self.path).absolute() if self.path.parent.name == "checkpoints" else None

    @property
    def sources(self) -> list[Path]:
        """The files of which an evaluation uses the weights."""
        return [self.path]

    @property
    def inputs(self) -> dict[str, Input]:
        """What the net takes, by the name of the tensor; empty if the checkpoint does not say it.

        Raises:
            ConfigError: the descriptions are damaged.
        """
        try:
            return {name: from_json(description) for name, description in self.header.inputs.items()}
        except (InputError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.path} describes inputs that this version does not know: {error}") from error

    @property
    def classes(self) -> Mapping[str, list[str]]:
        """Names of the classes 0, 1, ... by the name of the tensor; empty if they have none."""
        return self.header.classes

    @property
    def check_shape(self) -> Callable[[str, tuple[int, ...]], None] | None:
        """Function that raises InputError if the net does not take an input of a shape; None if that is not known."""
        return None

    def take_content(self) -> dict[str, Any]:
        """Return the content, and keep no reference to it."""
        content, self.content = self.content, {}
        return content

    def check_weights(self, module: torch.nn.Module) -> None:
        """Raise ConfigError if the names or shapes of the weights are not those of a module."""
        own, saved = (_shapes(weights) for weights in (module.state_dict(), self.content["state_dict"]))
        if own != saved:
            self.load_weights(module)  # torch explains what differs

    def load_weights(self, module: torch.nn.Module) -> None:
        """Load all weights into a module.

        Raises:
            ConfigError: the module has other weights.
        """
        adopt_shapes(module, self.content["state_dict"])
        self.match_precision(module)
        try:
            module.load_state_dict(self.content["state_dict"])
        except RuntimeError as error:
            raise self.mismatch(error) from error
        check_fitted(module, self.path)

    def match_precision(self, module: torch.nn.Module) -> None:
        """Convert a module to float64 if the weights are; Lightning does so later, when they have been rounded."""
        if self.is_double:
            module.double()

    @property
    def is_double(self) -> bool:
        """Whether all weights are in float64."""
        tensors = [value for value in self.content["state_dict"].values() if isinstance(value, Tensor)]
        floats = [value for value in tensors if value.is_floating_point()]
        return bool(floats) and all(value.dtype is torch.float64 for value in floats)

    def mismatch(self, error: RuntimeError) -> ConfigError:
        """Return the ConfigError for an error of `load_state_dict`."""
        lines = [line.strip() for line in str(error).splitlines()]
        line = lines[min(1, len(lines) - 1)]
        names = re.findall(r'"[^"]+"', line)
        if len(names) > _MAX_NAMES:
            line = f"{line.partition(names[_MAX_NAMES])[0]}... ({len(names)})"
        return ConfigError(f"checkpoint {self.path} does not fit this model\n{line}")


def _shapes(weights: Mapping[str, Any]) -> dict[str, torch.Size | None]:
    """Return shapes by name; None for parameters of lazy modules before their first batch, and for other objects."""
    return {name: None if is_lazy(value) else getattr(value, "shape", None) for name, value in weights.items()}


def checkpoint_name(epoch: int, step: int) -> str:
    """Return the file name of the checkpoint saved in an epoch after a step."""
    return f"epoch_{epoch:04d}_step_{step:06d}.ckpt"


def list_by_step(directory: Path) -> dict[Path, int]:
    """Return the checkpoints that are named by their steps, newest first."""
    steps = {path: int(match[1]) for path in directory.glob("*.ckpt") if (match := _STEP.fullmatch(path.name))}
    return dict(sorted(steps.items(), key=lambda item: item[1], reverse=True))


def run_dir_of(checkpoint: Path) -> Path:
    """Return the run directory of a checkpoint; its own directory if it was copied elsewhere."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that a file, run directory or directory of checkpoints means: the best, else the newest.

    Raises:
        ConfigError: there is none.
    """
    candidates = _candidates(path)
    return next((file for file in candidates if file.name == BEST), candidates[0])


def load_resumable(path: Path) -> LoadedCheckpoint:
    """Load the newest checkpoint that a run can be resumed from; damaged ones are skipped with a warning.

    Raises:
        ConfigError: there is none, or a newer version of the engine saved it.
    """
    candidates = _candidates(path)
    if candidates == [path]:
        checkpoint = load_checkpoint(path)
        if checkpoint.header.is_resumable:
            return checkpoint
        raise ConfigError(f"cannot resume from {path}: it was not saved after an optimizer step")
    seen = set()
    for file in candidates:
        if (inode := file.stat().st_ino) in seen:
            continue
        seen.add(inode)
        try:
            checkpoint = load_checkpoint(file)
        except NewerFormatError:
            raise  # not damaged: with an earlier checkpoint, what the newer version trained would be lost
        except ConfigError as error:
            logger.warning(f"{error}; trying the previous checkpoint")
            continue
        if checkpoint.header.is_resumable:
            return checkpoint
    raise ConfigError(f"{path} contains no checkpoint that a run can be resumed from")


def load_checkpoint(path: Path) -> LoadedCheckpoint:
    """Load a checkpoint of a run.

    Raises:
        ConfigError: the file is not a checkpoint of this project, is damaged, or contains more than plain data.
    """
    inode = path.stat().st_ino if path.exists() else 0
    content = safe_load(path)
    if not is_checkpoint(content):
        raise ConfigError(
            f"{path} is not a checkpoint of a run: it has no `state_dict` and `{CONFIG}`\n"
            "Of bare weights, validate, test and predict need the --config; fit takes them with --finetune"
        )
    try:
        if not all(isinstance(name, str) for name in content["state_dict"]):
            raise TypeError("a weight has no name")
        return LoadedCheckpoint(path, content, inode=inode)
    except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
        raise ConfigError(f"checkpoint {path} is damaged: {type(error).__name__}: {first_line(error)}") from error


def is_checkpoint(content: Any) -> bool:
    """Return whether the content of a file is that of a checkpoint of a run."""
    return isinstance(content, dict) and CONFIG in content and isinstance(content.get("state_dict"), dict)


def safe_load(path: Path) -> Any:
    """Load a file to the CPU if it contains only plain data, so that a file from a stranger runs no code.

    Raises:
        ConfigError: the file is damaged, an exported model, or contains more than plain data.
    """
    if path.suffix.lower() in EXPORTED:
        raise ConfigError(
            f"{path} is an exported model: give the checkpoint or run from which it was exported "
            "(validate, test, predict and Predictor take model.onnx)"
        )
    load = _import_safetensors(path) if path.suffix == _SAFETENSORS else _load_torch
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "it is no file")  # a named pipe would block
        return load(path)
    except Exception as error:  # damaged files raise any exception
        unsafe = _UNSAFE.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if unsafe:
            raise ConfigError(
                f"checkpoint {path} contains more than plain data and was not loaded\n"
                f"{unsafe[0]} is not a tensor, number or text; if you trust the file, save only its weights in another"
            ) from error
        # Of a file in no format of torch, pickle's errors say nothing, or advise to run the code in it.
        is_specific = isinstance(error, OSError) or zipfile.is_zipfile(path) or path.suffix == _SAFETENSORS
        reason = f" ({type(error).__name__}: {str(error).partition(chr(10))[0]})" if is_specific else ""
        raise ConfigError(f"checkpoint {path} cannot be read: it is damaged or not a checkpoint{reason}") from error


def _load_torch(path: Path) -> Any:
    if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip():  # torch does not verify the checksums
        raise ValueError("a checksum is wrong")
    with torch.serialization.safe_globals([argparse.Namespace]):  # of options, in many files of weights
        return torch.load(path, map_location="cpu", weights_only=True)


def _import_safetensors(path: Path) -> Callable[[Path], dict[str, Tensor]]:
    """Return the function that reads a file of safetensors, in which there is no code."""
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ConfigError(f"{path} {missing_package(error)}") from error
    return load_file


def _candidates(path: Path) -> list[Path]:
    """Return the file, or the checkpoints of a directory: last.ckpt, then by step, then by age."""
    try:
        is_file, is_directory = path.is_file(), path.is_dir()
    except OSError as error:  # such as a name that is too long
        raise ConfigError(f"checkpoint {shorten(str(path), 200)} cannot be read: {error.strerror}") from error
    if is_file:
        return [path]
    if not is_directory:
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*")])
        raise ConfigError(f"checkpoint {path} does not exist{near}")
    directory = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    by_age = sorted(directory.glob("*.ckpt"), key=lambda file: file.stat().st_mtime, reverse=True)
    if not by_age:
        raise ConfigError(f"{path} contains no checkpoint: no *.ckpt in {directory}")
    last = [directory / LAST] if (directory / LAST).is_file() else []
    return list(dict.fromkeys([*last, *list_by_step(directory), *by_age]))

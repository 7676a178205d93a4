"""Header of a checkpoint: what the engine adds to Lightning's content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from project.core.errors import ConfigError
from project.core.tensorboard import Points

FORMAT = 1
# Stored: keys of checkpoint files. `run_config` is public, and older than the header (format 0 has all at the top).
_HEADER, CONFIG = "run_header", "run_config"
_FORMAT, _RESUMABLE, _ENVIRONMENT = "format", "resumable", "rounding"
_EVENT_SIZES, _POINTS, _LOG_SIZE, _LOGGERS = "event_sizes", "last_points", "log_size", "loggers"
_INPUTS, _CLASSES, _LINK = "inputs", "classes", "link"


class NewerFormatError(ConfigError):
    """A checkpoint was saved by a newer version of the engine."""


@dataclass(frozen=True)
class CheckpointHeader:
    """Header of a checkpoint.

    Args:
        config: configuration of the run as yaml.
        is_resumable: whether it was saved after an optimizer step, with all that a resumed run needs.
        event_sizes: sizes of TensorBoard's files by name, in bytes.
        environment: what the rounding of sums depends on (`numeric_environment`).
        points: points that TensorBoard got last (`DedupTensorBoardLogger.last_points`).
        log_size: size of log.txt when the checkpoint was saved, in bytes; 0 in older checkpoints.
        loggers: states of the loggers (`logger_states`); empty in older checkpoints.
        inputs: descriptions of what the net takes, by the name of the tensor; empty in older checkpoints.
        classes: names of the classes 0, 1, ... by the name of the tensor; empty in older checkpoints.
        link: last link of the chain of states (`StateChain`), which `add_link` adds; empty in older checkpoints.
        format: version of the header; 0 for checkpoints that were saved before there was one.
    """

    config: str
    is_resumable: bool
    event_sizes: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str | int] = field(default_factory=dict)
    points: Points = field(default_factory=dict)
    log_size: int = 0
    loggers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, list[str]] = field(default_factory=dict)
    link: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def add_to(self, checkpoint: dict[str, Any]) -> None:
        """Add the header to the content of a checkpoint."""
        checkpoint[CONFIG] = self.config
        checkpoint[_HEADER] = {
            _FORMAT: self.format,
            _RESUMABLE: self.is_resumable,
            _EVENT_SIZES: dict(self.event_sizes),
            _ENVIRONMENT: dict(self.environment),
            _POINTS: dict(self.points),
            _LOG_SIZE: self.log_size,
            _LOGGERS: {name: dict(state) for name, state in self.loggers.items()},
            _INPUTS: {name: dict(description) for name, description in self.inputs.items()},
            _CLASSES: dict(self.classes),
        }


def add_link(checkpoint: Mapping[str, Any], link: Mapping[str, Any]) -> None:
    """Add the last link of the chain of states to the header in a checkpoint: it is known after the rest."""
    checkpoint[_HEADER][_LINK] = dict(link)


def read_header(checkpoint: Mapping[str, Any], path: Path) -> CheckpointHeader:
    """Return the header in the content of a checkpoint.

    Args:
        checkpoint: the content.
        path: the file, for the message.

    Raises:
        NewerFormatError: its format is newer than this one.
    """
    header = checkpoint.get(_HEADER) or dict(checkpoint) | {_FORMAT: 0}
    if header[_FORMAT] > FORMAT:
        raise NewerFormatError(
            f"checkpoint {path} has format {header[_FORMAT]}, but this version of the engine reads formats up to "
            f"{FORMAT}; use the version that saved it"
        )
    for name in (_EVENT_SIZES, _ENVIRONMENT, _POINTS, _LOGGERS, _INPUTS, _CLASSES, _LINK):
        if not isinstance(header.get(name, {}), Mapping):
            raise TypeError(f"{name} is no mapping")
    return CheckpointHeader(
        config=checkpoint[CONFIG],
        is_resumable=bool(header.get(_RESUMABLE)),
        event_sizes=header.get(_EVENT_SIZES, {}),
        environment=header.get(_ENVIRONMENT, {}),
        points=header.get(_POINTS, {}),
        log_size=header.get(_LOG_SIZE, 0),
        loggers=header.get(_LOGGERS, {}),
        inputs=header.get(_INPUTS, {}),
        classes=header.get(_CLASSES, {}),
        link=header.get(_LINK, {}),
        format=header[_FORMAT],
    )


def numeric_environment() -> dict[str, str | int]:
    """Return what the rounding of sums depends on, by name; the names are stored."""
    return {"torch": str(torch.__version__), "CPU threads": torch.get_num_threads()}

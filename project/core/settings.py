"""The settings of a run that belong neither to the model nor to the data nor to Lightning's Trainer."""

from dataclasses import dataclass, field
from typing import Literal

from project.core.errors import ConfigError
from project.core.wiring import VisualTerm

ROOT = "experiments"


@dataclass
class Progress:
    """Pictures of the visual while training.

    Args:
        train: samples per epoch of the training set; 0 is off.
        val: samples per epoch of each validation set; 0 is off.
        local: write them to RUN/progress/ as well as to TensorBoard.
    """

    train: int = 0
    val: int = 8
    local: bool = True

    def __post_init__(self) -> None:
        if min(self.train, self.val) < 0:
            raise ConfigError("progress: train and val must be at least 0, which is off")


@dataclass
class Checkpoint:
    """Which checkpoint is the best.

    Args:
        monitor: a logged name, such as val/accuracy; null takes val/sum, or the last where there is no validation.
        mode: whether less or more is better.
    """

    monitor: str | None = None
    mode: Literal["min", "max"] = "min"


@dataclass
class Settings:
    """The settings of every stage.

    Args:
        name: the run's folder is ROOT/NAME.
        root: the folder of all runs.
        seed: of all random numbers.
        log_level: of the console; log.txt has all.
        replace: move a run of this name to ROOT/.old/, as the option --replace does.
        visual: draws the pictures to look at.
        progress: pictures while training.
        checkpoint: which checkpoint is the best.
    """

    name: str
    root: str = ROOT
    seed: int = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    replace: bool = False
    visual: VisualTerm | None = None
    progress: Progress = field(default_factory=Progress)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)

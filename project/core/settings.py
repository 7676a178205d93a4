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
    """When checkpoints are written, and which are kept. One more is written before each validation and at the end.

    Args:
        monitor: a logged name, such as val/accuracy; null takes val/sum, or the last where there is no validation.
        mode: whether less or more is better.
        best: how many of the best are kept.
        keep: how many of the newest are kept beside them; -1 keeps all.
        every_n_epochs: write one at the end of each so many epochs; 0 is off.
        every_n_steps: write one behind each so many steps of the optimizer; 0 is off.
        save_time: write one when the newest is so many seconds old; 0 is off.
    """

    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    best: int = 1
    keep: int = 2
    every_n_epochs: int = 1
    every_n_steps: int = 0
    save_time: float = 900.0

    def __post_init__(self) -> None:
        if self.best < 1 or self.keep == 0 or self.keep < -1:
            raise ConfigError("checkpoint: best and keep must be at least 1; keep -1 keeps all")
        if min(self.every_n_epochs, self.every_n_steps, self.save_time) < 0:
            raise ConfigError(
                "checkpoint: every_n_epochs, every_n_steps and save_time must be at least 0, which is off"
            )


@dataclass
class Evaluation:
    """Losses and metrics on data.eval while training, as the stage `test` has them.

    Args:
        every_n_epochs: evaluate at the end of each so many epochs; 0 is off.
        at_start: evaluate before the first step, and where a resumed run goes on.
        max_samples: of each set, the first so many only; null takes all.
    """

    every_n_epochs: int = 0
    at_start: bool = False
    max_samples: int | None = None

    def __post_init__(self) -> None:
        if self.every_n_epochs < 0 or (self.max_samples is not None and self.max_samples < 1):
            raise ConfigError("evaluation: every_n_epochs must be at least 0, which is off, and max_samples at least 1")

    @property
    def active(self) -> bool:
        """Whether there is any."""
        return self.at_start or self.every_n_epochs > 0


@dataclass
class Settings:
    """The settings of every stage.

    Args:
        name: the run's folder is ROOT/NAME.
        root: the folder of all runs.
        seed: of all random numbers.
        log_level: of the console; log.txt has all.
        timeout: seconds after which processes of a run that wait for another give it up.
        replace: move a run of this name to ROOT/.old/, as the option --replace does.
        visual: draws the pictures to look at.
        progress: pictures while training.
        checkpoint: when checkpoints are written, and which are kept.
        evaluation: losses and metrics on data.eval while training.
    """

    name: str
    root: str = ROOT
    seed: int = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    timeout: float = 600.0
    replace: bool = False
    visual: VisualTerm | None = None
    progress: Progress = field(default_factory=Progress)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        if not 0 < self.timeout < 1e9:
            raise ConfigError(f"timeout is {self.timeout}; it must be a number of seconds above 0")

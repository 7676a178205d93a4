"""Settings of a run outside `model`, `data` and `trainer`."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval

from project.core.config.terms import Visuals

DEFAULT_ROOT = "experiments"
DEFAULT_DATA_DIR = "data"


@dataclass
class ProgressSettings:
    """Pictures of the visuals during training.

    Args:
        train: samples per epoch of the training set; 0 disables.
        val: samples per epoch of each validation set; 0 disables.
        local: write the pictures to RUN/progress/ in addition to TensorBoard.
    """

    train: Annotated[int, Ge(0)] = 0
    val: Annotated[int, Ge(0)] = 8
    local: bool = True


@dataclass
class CheckpointSettings:
    """When checkpoints are saved, and which are kept. One more is saved before each validation and at the end.

    Args:
        monitor: logged value that selects the best checkpoint, such as val/accuracy; null takes val/sum, or the last
            checkpoint if there is no validation.
        mode: whether the smallest or the largest value is best.
        best: number of best checkpoints to keep; of equal values, the earlier one is better.
        keep: number of newest checkpoints to keep in addition; -1 keeps all.
        every_n_epochs: save at the end of every n-th epoch; 0 disables.
        every_n_steps: save after every n-th optimizer step; 0 disables.
        save_time: save if the newest checkpoint is older than this, in seconds; 0 disables.
        milestones: number of checkpoints to keep in addition, spread over the whole run, from which `verify` and
            `replay` start; 0 disables.
    """

    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    best: Annotated[int, Ge(1)] = 1
    keep: Literal[-1] | Annotated[int, Ge(1)] = 2
    every_n_epochs: Annotated[int, Ge(0)] = 1
    every_n_steps: Annotated[int, Ge(0)] = 0
    save_time: Annotated[float, Ge(0)] = 900.0
    milestones: Annotated[int, Ge(0)] = 0


@dataclass
class DigestSettings:
    """Digests of a run's tensors in RUN/digests.bin, by which `bisect` finds where two runs part.

    On the CPU, those of the parameters at every 10th step take 0.2 % of the time of a step of the digits, and less than
    1 % of one of a perceptron with 25 million parameters (docs/benchmarks.md).

    Args:
        parameters: write digests of the parameters before every n-th optimizer step; 0 disables.
        all: write digests of all that a step depends on and computes, at every n-th optimizer step; 0 disables.
    """

    parameters: Annotated[int, Ge(0)] = 10
    all: Annotated[int, Ge(0)] = 0


@dataclass
class EvaluationSettings:
    """Losses and metrics on data.eval during training, computed as in the stage `test`.

    Args:
        every_n_epochs: evaluate at the end of every n-th epoch; 0 disables.
        at_start: evaluate before the first step, and again whenever the run is resumed.
        max_samples: evaluate only the first samples of each dataset; null takes all.
    """

    every_n_epochs: Annotated[int, Ge(0)] = 0
    at_start: bool = False
    max_samples: Annotated[int, Ge(1)] | None = None

    @property
    def is_active(self) -> bool:
        """Whether there is any evaluation during training."""
        return self.at_start or self.every_n_epochs > 0

    def is_due(self, epoch: int) -> bool:
        """Return whether there is an evaluation at the end of an epoch, counted from 0."""
        return self.every_n_epochs > 0 and (epoch + 1) % self.every_n_epochs == 0


@dataclass
class Settings:
    """Settings of every stage.

    Args:
        name: name of the run; its directory is ROOT/NAME. ASCII letters, digits, inner spaces and ._-+=@, are allowed.
        root: directory of all runs.
        seed: seed of all random number generators.
        log_level: level of messages on the console; log.txt contains all.
        timeout: time that processes of a run wait for each other, in seconds.
        replace: move an existing run of this name to ROOT/.old/, as the option --replace does.
        vars: constants of your own, which other values refer to: `${vars.NAME}`.
        visual: visual that draws the pictures, or several by name.
        progress: pictures during training.
        checkpoint: when checkpoints are saved, and which are kept.
        evaluation: losses and metrics on data.eval during training.
        digests: digests of tensors during training.
        skip_steps: optimizer steps that are left out: their batches are read, and change nothing.
    """

    name: str
    root: str = DEFAULT_ROOT
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    timeout: Annotated[float, Interval(gt=0, lt=10**9)] = 600.0
    replace: bool = False
    vars: dict[str, Any] | None = None
    visual: Visuals | None = None
    progress: ProgressSettings = field(default_factory=ProgressSettings)
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    digests: DigestSettings = field(default_factory=DigestSettings)
    skip_steps: list[Annotated[int, Ge(1)]] | None = None

"""How many steps a run has, so that a step it does not have is refused before anything is trained."""

from itertools import pairwise
from pathlib import Path

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import list_by_step
from project.study.events import read_curves
from project.study.runs import read_run


def check_steps(run: Path, last: int) -> None:
    """Check that a run has a step, as far as its files say.

    The step after the last one may be replayed if the run has not finished: it may be the one that failed. Of a run
    that goes on, or was killed, the steps up to the next logged one are not known, and may be replayed, too.

    Raises:
        ConfigError: it has no such step.
    """
    row = read_run(run)
    logged = sorted({0, *(int(step) for steps, _, _ in read_curves(run).values() for step in steps)})
    known = max(row.steps or 0, *list_by_step(run / "checkpoints").values(), logged[-1])
    if row.state in ("finished", "pruned"):
        if last > known:
            raise ConfigError(f"{run} has {known} steps; it has no step {last}")
    elif row.state in ("running", "unknown"):
        interval = max((after - before for before, after in pairwise(logged)), default=last)
        if known and last > known + interval:
            raise ConfigError(f"{run} has recorded {known} steps so far; step {last} is not known")
    elif last > known + 1:
        raise ConfigError(f"{run} ended after {known} steps ({row.state}); it has no step {last}")

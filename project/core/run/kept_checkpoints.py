"""Which checkpoints are kept: the newest, the best, and milestones that are spread over the whole run."""

from collections.abc import Collection, Sequence
from pathlib import Path

from project.core.config.settings import CheckpointSettings
from project.core.run.checkpoint_files import list_by_step

BETWEEN = "between_step"  # stored: a part of the names of checkpoints that are not resumable


def remove_old(directory: Path, settings: CheckpointSettings, best: Collection[str]) -> None:
    """Remove the checkpoints of a run that are neither among the newest, nor among the best, nor milestones.

    Args:
        directory: directory of the checkpoints.
        settings: how many are kept.
        best: names of the best checkpoints.
    """
    files = list_by_step(directory)
    newest = [*files][: settings.keep] if settings.keep >= 0 else [*files]
    kept = {step for path, step in files.items() if path in newest or path.name in best}
    kept |= choose_milestones([*files.values()], kept, settings.milestones)
    old = [path for path, step in files.items() if step not in kept]
    for path in [*old, *directory.glob(f"*_{BETWEEN}_*.ckpt")]:
        if path.name not in best:
            path.unlink(missing_ok=True)


def choose_milestones(steps: Sequence[int], kept: Collection[int], count: int) -> set[int]:
    """Return the steps to keep so that the steps between neighbors are few, of those that are not kept anyway.

    Those whose removal leaves the smallest gap are removed one by one. The result depends on the existing files only,
    so that a killed run goes on as before. If checkpoints are saved at regular steps, and thinned each time, the
    largest gap of a run is at most twice that of equal distances (tests/core/run/test_kept_checkpoints.py).

    Args:
        steps: steps of all checkpoints.
        kept: those that are kept anyway, such as the newest.
        count: how many to keep in addition.

    Example::

        choose_milestones([10, 20, 30, 40, 50], {40, 50}, 2)  # {20, 30}
    """
    points = sorted({0, *steps})  # a run can also be trained again from its start
    chosen = [step for step in points if step > 0 and step not in kept]
    while len(chosen) > count:
        gaps = {step: points[at + 1] - points[at - 1] for at, step in enumerate(points[:-1]) if step in chosen}
        # The last point is not kept only if nothing newer is; then its removal leaves no gap.
        removed = min(chosen, key=lambda step: gaps.get(step, 0))
        chosen.remove(removed)
        points.remove(removed)
    return set(chosen)

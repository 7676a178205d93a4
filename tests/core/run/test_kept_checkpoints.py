"""Milestones are spread over a run of any length."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.config.settings import CheckpointSettings
from project.core.run.checkpoint_files import checkpoint_name, list_by_step
from project.core.run.kept_checkpoints import choose_milestones, remove_old
from tests.conftest import Cli
from tests.core.run.test_checkpoint_policy import saved_steps


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("jitter", [0, 50])
def test_largest_gap_is_at_most_twice_the_ideal_one(count: int, jitter: int) -> None:
    """After each of many checkpoints, so for runs of all lengths, at regular and at other distances."""
    generator, keep, step, files = random.Random(count), 2, 0, list[int]()
    for _ in range(60 * (count + 1)):
        step += 100 + generator.randint(-jitter, jitter)
        files.append(step)
        newest = set(files[-keep:])
        milestones = choose_milestones(files, newest, count)
        assert len(milestones) == min(count, len(files) - len(newest))
        files = sorted(newest | milestones)
        largest = max(after - before for before, after in zip([0, *files], files, strict=False))
        # Checkpoints are at least this far apart, whichever are kept.
        ideal = max(step / (count + 1), 100 + jitter)
        assert largest <= 2 * ideal + jitter


def test_milestones_depend_on_the_files_only() -> None:
    """A killed run, whose directory has one file more, thins it as one that was not killed."""
    kept = choose_milestones([100, 200, 300, 400, 500], {400, 500}, 2)
    assert kept == {200, 300}
    assert choose_milestones([200, 300, 400, 500, 600], {500, 600}, 2) == {200, 400}
    assert choose_milestones([500, 200, 400, 600, 300], {600, 500}, 2) == {200, 400}


def test_best_checkpoints_are_milestones_for_free() -> None:
    """They take nobody's place, and milestones are where they are not."""
    assert choose_milestones([10, 20, 30, 40, 50, 60], {30, 60}, 2) == {20, 50}


def test_no_milestones() -> None:
    assert choose_milestones([10, 20, 30], {30}, 0) == set()
    assert choose_milestones([10, 20, 30], {10, 20, 30}, 5) == set()


@pytest.mark.parametrize(("keep", "steps"), [(1, [3, 5, 8]), (-1, [*range(1, 9)])])
def test_files_that_are_removed(keep: int, steps: list[int], tmp_path: Path) -> None:
    """`keep: -1` keeps all; what is not resumable is no milestone."""
    for step in range(1, 9):
        (tmp_path / checkpoint_name(0, step)).touch()
        (tmp_path / f"epoch_0000_between_step_{step:06d}_batch_000001.ckpt").touch()
        settings = CheckpointSettings(keep=keep, milestones=1)
        remove_old(tmp_path, settings, {checkpoint_name(0, 3)})
    assert sorted(list_by_step(tmp_path).values()) == steps
    assert list(tmp_path.glob("*between*")) == []


def test_run_resumes_from_a_milestone(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """In place: later checkpoints are archived, the others stay, and the thinning goes on."""
    settings = {"milestones": 2, "keep": 1, "every_n_steps": 1, "save_time": 0}
    config = tiny({"checkpoint": settings, "trainer": {"limit_train_batches": 12}, "data": {"val": None}})
    assert cli("fit", "--config", config).code == 0
    milestones, run = saved_steps(tmp_path), tmp_path / "experiments/tiny"
    assert len(milestones) == 3
    assert milestones[2] == 12
    ran = cli("fit", "--resume", str(run / "checkpoints" / checkpoint_name(0, milestones[0])))
    assert ran.code == 0, ran.err
    assert sorted(list_by_step(run / ".old/resume1").values()) == milestones[1:]
    assert len(saved_steps(tmp_path)) == 3
    assert saved_steps(tmp_path)[2] == 12

"""RUN/digests.bin: when it is written, and what a resume, a replay and a full disk do to it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project.core.config.settings import DigestSettings
from project.core.digest_file import DIGESTS
from project.core.training.digests.recorder import DigestRecorder
from project.study.digests import first_difference, read_digests
from project.study.replay.replaying import replay_steps
from tests.conftest import Cli, slow_except

EACH_STEP: dict[str, Any] = {
    "model": {"ema": 0.9, "net": {"dropout": 0.1}},
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "digests": {"parameters": 1, "all": 2},
    "trainer": {"limit_train_batches": 4, "max_epochs": 2},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which the first test that needs a run keeps it for the others."""
    return tmp_path_factory.mktemp("digests") / "experiments"


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path, trained: Path) -> Path:
    """Return a copy of the directory of a finished run of 8 steps, all of which are saved."""
    if not trained.exists():
        ran = cli("fit", "--config", tiny(EACH_STEP))
        assert ran.code == 0, ran.err
        (tmp_path / "experiments").rename(trained)
    shutil.copytree(trained, tmp_path / "experiments")
    return tmp_path / "experiments/tiny"


def checkpoint(run: Path, step: int) -> str:
    (found,) = (run / "checkpoints").glob(f"epoch_*_step_{step:06d}.ckpt")
    return str(found)


@pytest.mark.parametrize("step", slow_except([2, 7], 7))
def test_resumed_run_has_the_same_file(step: int, run: Path, cli: Cli) -> None:
    """It is the one of an uninterrupted run; what was cut, with a torn row, is kept beside the later checkpoints."""
    whole = (run / DIGESTS).read_bytes()
    (run / DIGESTS).write_bytes(whole + whole[-100:-30])
    ran = cli("fit", "--resume", checkpoint(run, step))
    assert ran.code == 0, ran.err
    assert (run / DIGESTS).read_bytes() == whole
    assert (run / ".old/resume1" / DIGESTS).read_bytes() == whole + whole[-100:-30]
    assert read_digests(run / DIGESTS).steps.tolist() == [*range(1, 9)]


@pytest.mark.slow
def test_rows_of_undone_steps_are_cut_if_the_resumed_run_writes_none(run: Path, cli: Cli) -> None:
    ran = cli("fit", "--resume", checkpoint(run, 5), "--digests.parameters", "0", "--digests.all", "0")
    assert ran.code == 0, ran.err
    assert read_digests(run / DIGESTS).steps.tolist() == [1, 2, 3, 4, 5]


def test_file_of_a_run_in_another_directory_begins_after_the_checkpoint(run: Path, cli: Cli) -> None:
    whole = read_digests(run / DIGESTS)
    ran = cli("fit", "--resume", checkpoint(run, 6), "--name", "other")
    assert ran.code == 0, ran.err
    other = read_digests(run.with_name("other") / DIGESTS)
    assert other.steps.tolist() == [7, 8]
    assert first_difference(whole, other).step is None


@pytest.mark.slow
def test_replay_has_the_digests_of_the_run(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "scratch.bin"
    replay_steps(run, 4, 6, watchers=[DigestRecorder(path, DigestSettings(all=1))])
    replayed, recorded = read_digests(path), read_digests(run / DIGESTS)
    found = first_difference(recorded, replayed)
    assert (found.steps, found.step) == (3, None)
    assert found.digests == sum(len(each.values) for each in recorded if each.step in (4, 5, 6))


@pytest.mark.slow
def test_nothing_is_written_unless_the_settings_say_so(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(EACH_STEP)
    assert cli("fit", "--config", config, "--digests.parameters", "0", "--digests.all", "0").code == 0
    assert cli("fit", "--config", config, "--name", "tried", "--trainer.fast_dev_run", "true").code == 0
    assert not [*tmp_path.rglob(DIGESTS)]


def test_file_that_cannot_be_written_ends_the_run_with_its_reason(run: Path, cli: Cli) -> None:
    (run / DIGESTS).unlink()
    (run / DIGESTS).mkdir()
    ran = cli("fit", "--resume", checkpoint(run, 7))
    assert ran.code == 1
    assert f"cannot write digests to {run / DIGESTS}: " in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_workers_change_nothing(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(EACH_STEP), "--name", "workers", "--data.num_workers", "2")
    assert ran.code == 0, ran.err
    assert (run.with_name("workers") / DIGESTS).read_bytes() == (run / DIGESTS).read_bytes()

"""What a sweep keeps of its runs: locks, states and the digests with which they began."""

import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from project.core.errors import ConfigError
from project.study.sweep.directory import SweepDirectory
from project.study.sweep.plan import PlannedRun, Trial
from project.study.sweep.process import Children

RUN = PlannedRun("0000", Trial(0, {}))
DIGESTS = {"code": "a", "data": "b"}


@pytest.fixture
def directory(tmp_path: Path) -> SweepDirectory:
    made = SweepDirectory(tmp_path / "lr")
    made.create()
    return made


def write_summary(directory: SweepDirectory, text: str) -> None:
    (directory.path / RUN.name).mkdir(exist_ok=True)
    (directory.path / RUN.name / "summary.json").write_text(text)


def test_a_run_has_one_worker(directory: SweepDirectory) -> None:
    lock = directory.claim(RUN)
    assert lock is not None
    assert directory.claim(RUN) is None
    os.close(lock)
    assert directory.claim(RUN) is not None


def test_run_of_a_killed_worker_is_free_when_its_child_is_gone(directory: SweepDirectory) -> None:
    """Else two processes would train in one directory; the kernel kills the child of a killed worker."""
    reading, writing = os.pipe()

    def train() -> int:
        os.write(writing, str(os.getpid()).encode())
        time.sleep(10)
        return 0

    def work() -> int:
        assert directory.claim(RUN) is not None
        children = Children()
        return children.wait(children.start(train))

    children = Children()
    worker = children.start(work)
    child = int(os.read(reading, 20))
    assert directory.claim(RUN) is None
    os.kill(child, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    assert children.wait(worker) == -signal.SIGKILL
    end = time.monotonic() + 5
    while (lock := directory.claim(RUN)) is None and time.monotonic() < end:
        time.sleep(0.01)
    assert lock is not None
    assert not Path(f"/proc/{child}/exe").exists()


def test_run_that_is_trained_by_hand_is_not_claimed(directory: SweepDirectory) -> None:
    """`fit` locks the run directory itself."""
    fcntl = pytest.importorskip("fcntl")
    (directory.path / RUN.name).mkdir()
    opened = os.open(directory.path / RUN.name, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    assert directory.claim(RUN) is None
    os.close(opened)
    assert directory.claim(RUN) is not None


@pytest.mark.parametrize(
    ("summary", "state"),
    [
        (None, "new"),
        ('{"state": "running"}', "running"),
        ('{"state": "stopped"}', "stopped"),
        ('{"state": "failed"}', "stopped"),  # its worker was killed before it recorded that
        ('{"state": "finished"}', "running"),  # not yet tested
        ('{"state": "pruned"}', "pruned"),
        ('{"sta', "new"),
        ("[1]", "new"),
    ],
)
def test_state_without_a_record_is_that_of_the_summary(
    summary: str | None, state: str, directory: SweepDirectory
) -> None:
    if summary is not None:
        write_summary(directory, summary)
    assert directory.state(RUN) == state


def test_record_of_a_run(directory: SweepDirectory) -> None:
    directory.record_start(RUN, DIGESTS)
    assert directory.state(RUN) == "running"
    directory.record_end(RUN, "failed", "ZeroDivisionError: on purpose")
    assert directory.state(RUN) == "failed"
    assert json.loads((directory.path / ".sweep/0000.json").read_text())["reason"] == "ZeroDivisionError: on purpose"
    directory.forget_failure(RUN)
    assert (directory.state(RUN), directory.digests(RUN)) == ("running", DIGESTS)
    write_summary(directory, json.dumps({"state": "finished"}))
    directory.record_end(RUN, "finished")
    assert (directory.state(RUN), directory.digests(RUN)) == ("finished", DIGESTS)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"state": "lost", "digests": 3}'])
def test_damaged_record_is_as_if_the_run_had_not_ended(content: bytes, directory: SweepDirectory) -> None:
    """A machine that lost power leaves such files, and a worker must not fail because of them."""
    (directory.path / ".sweep/0000.json").write_bytes(content)
    assert directory.state(RUN) in ("new", "running")
    assert directory.digests(RUN) == {}
    directory.record_start(RUN, DIGESTS)
    assert directory.digests(RUN) == DIGESTS


def test_resumed_run_keeps_the_digests_of_its_beginning(directory: SweepDirectory) -> None:
    """Its first steps were computed with them."""
    directory.record_start(RUN, DIGESTS)
    directory.record_start(RUN, {"code": "new"})
    assert directory.digests(RUN) == {"code": "new"}
    (directory.path / "0000/checkpoints").mkdir(parents=True)
    (directory.path / "0000/checkpoints/last.ckpt").touch()
    directory.record_start(RUN, {"code": "newer"})
    assert directory.digests(RUN) == {"code": "new"}


def test_locks_do_not_empty_other_files(directory: SweepDirectory) -> None:
    """In a directory of somebody else's, a lock may be a link, and name no process."""
    secret = directory.path / "secret"
    secret.write_text("mine")
    lock = directory.path / ".sweep/0000.lock"
    lock.symlink_to(secret)
    with pytest.raises(ConfigError, match=r"0000\.lock is a link; remove it"):
        directory.claim(RUN)
    assert secret.read_text() == "mine"
    lock.unlink()
    opened = directory.claim(RUN)
    assert opened is not None
    lock.write_bytes(f"{socket.gethostname()} {'9' * 30}".encode())
    assert directory.claim(RUN) is None
    os.close(opened)


@pytest.mark.parametrize("state", ["finished", "pruned"])
def test_run_whose_directory_was_removed_is_new(state: str, directory: SweepDirectory) -> None:
    """The message about changed code advises to remove the directories of runs that are to be trained again."""
    write_summary(directory, json.dumps({"state": state}))
    directory.record_end(RUN, state)
    assert directory.state(RUN) == state
    shutil.rmtree(directory.path / RUN.name)
    assert directory.state(RUN) == "new"
    directory.record_end(RUN, "failed", "a mistake in the yaml")  # before there is a directory
    assert directory.state(RUN) == "failed"

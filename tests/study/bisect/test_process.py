"""A replay in a process of its own uses the given code, tells why it fails, and leaves nothing."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from project.study.bisect import process
from project.study.bisect.process import ReplayFailed, Request, replay_in_process


def request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: str, trusts: bool = False) -> Request:
    """Return a request that runs a text as the worker."""
    code, output = tmp_path / "code", tmp_path / "output"
    (code / "made").mkdir(parents=True)
    (code / "made/worker.py").write_text(worker)
    output.mkdir()
    monkeypatch.setattr(process, "WORKER", "made.worker")
    return Request(tmp_path / "run", 3, 5, output, trusts, code)


@pytest.mark.parametrize(("longest", "has_own"), [(1000, True), (10, False)])
def test_worker_gets_plain_arguments_and_a_directory_for_its_files(
    longest: int, has_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one whose path would be too long for the sockets of DataLoaders' workers."""
    monkeypatch.setattr(process, "_LONGEST", longest)
    text = "import sys, tempfile; open(sys.argv[4] + '/got', 'w').write(repr(sys.argv[1:]) + tempfile.mkdtemp())"
    made = request(tmp_path, monkeypatch, text, trusts=True)
    replay_in_process(made)
    got, _, temporary = (made.output / "got").read_text().rpartition("]")
    assert got + "]" == repr([str(tmp_path / "run"), "3", "5", str(made.output), "--trust"])
    assert (Path(temporary).parent == made.output) == has_own
    if not has_own:
        Path(temporary).rmdir()


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        ("import sys; print('error: it is gone\\nlook there', file=sys.stderr); sys.exit(2)", "it is gone\nlook there"),
        ("print('x'); raise ZeroDivisionError('on purpose')", "ZeroDivisionError: on purpose"),
        ("import os; os.kill(os.getpid(), 9)", "its process ended with code -9"),
    ],
)
def test_failure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: str, message: str) -> None:
    with pytest.raises(ReplayFailed) as raised:
        replay_in_process(request(tmp_path, monkeypatch, worker))
    assert str(raised.value).endswith(message)


def test_interrupted_replay_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in this process ends the one that trains."""
    worker = "import os, sys, time; open(sys.argv[4] + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    made = request(tmp_path, monkeypatch, worker)

    def interrupt() -> None:
        while not (made.output / "pid").exists() or not (made.output / "pid").read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        replay_in_process(made)
    with pytest.raises(ProcessLookupError):
        os.kill(int((made.output / "pid").read_text()), 0)

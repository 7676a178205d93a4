"""The exit code and the message tell how a stage ended."""

import errno
import gc
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from project.core.cli import main as main_module
from project.core.cli.main import main, report_error
from project.core.distributed.signals import Interrupted
from project.core.errors import ConfigError, RunStopped
from project.core.log import logging_to_console
from tests.conftest import Cli


def caused_by(cause: BaseException) -> RuntimeError:
    """Return an error with a cause."""
    error = RuntimeError("around it")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("seed is -1"), 2, "error: seed is -1\n"),
        (caused_by(ConfigError("seed is -1")), 2, "error: seed is -1\n"),
        (KeyboardInterrupt(), 130, "WARNING stopped by Ctrl-C\n"),
        (Interrupted(signal.SIGTERM), 75, "WARNING stopped by SIGTERM\n"),
        (Interrupted(signal.SIGINT), 130, "WARNING stopped by SIGINT\n"),
        (caused_by(Interrupted(signal.SIGUSR1)), 75, "WARNING stopped by SIGUSR1\n"),
        (SIGTERMException(), 143, ""),
        (RunStopped("the loss is nan"), 1, "ERROR   the loss is nan\n"),
        (
            caused_by(OSError(errno.ENOSPC, "No space left")),
            1,
            "ERROR   the disk is full; the checkpoints are intact: [Errno 28] No space left\n",
        ),
        (
            RuntimeError("[third_party/gloo/gloo/pair.cc] closed"),
            1,
            "ERROR   another process of the run ended or does not answer: [third_party/gloo/gloo/pair.cc] closed\n",
        ),
        (
            torch.distributed.DistNetworkError("EADDRINUSE"),
            1,
            "ERROR   port in use; set MASTER_PORT to a free port: EADDRINUSE\n",
        ),
    ],
)
def test_report_and_exit_code(error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_console("INFO"):
        assert report_error(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(text)
    assert len(err.splitlines()) == len(text.splitlines())


def test_other_errors_have_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PermissionError) as caught:
        raise PermissionError(errno.EACCES, "Permission denied")
    with logging_to_console("INFO"):
        assert report_error(caught.value) == 1
    err = capsys.readouterr().err
    assert f"raised in test_other_errors_have_a_traceback ({__file__}:" in err.splitlines()[0]
    assert err.splitlines()[1] == "Traceback (most recent call last):"


class Unprintable(Exception):
    """Error whose text cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("on purpose")


class Unknown(BaseException):
    """Error that `except Exception` does not catch."""


def circle(last: Exception) -> Exception:
    """Return an error whose chain of causes is a circle, in which another error is."""
    first = ValueError("first")
    first.__context__, last.__cause__ = last, first
    return first


def chain(length: int) -> BaseException:
    """Return an error with many causes."""
    error: Exception = ValueError("the earliest")
    for _ in range(length):
        error = caused_by(error)
    return error


def with_notes(notes: object) -> ValueError:
    """Return an error whose notes may be no list of texts."""
    error = ValueError("noted")
    error.__notes__ = notes  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SystemExit(0), 1, "SystemExit: 0"),
        (SystemExit(3), 1, "SystemExit: 3"),
        (Unknown("why"), 1, "Unknown: why"),
        (Unprintable(), 1, "Unprintable: <exception str() failed>"),
        (caused_by(Unprintable()), 1, "RuntimeError: around it"),
        (circle(KeyError("last")), 1, "KeyError: 'last'"),
        (circle(ConfigError("seed is -1")), 2, "error: seed is -1"),
        (circle(Interrupted(signal.SIGTERM)), 75, "stopped by SIGTERM"),
        (chain(3000), 1, "earlier causes are not shown"),
        (with_notes(3), 1, "ValueError: noted"),
        (with_notes([3, Unprintable(), "a note"]), 1, "a note"),
        (ExceptionGroup("several", [Unprintable(), circle(ValueError("last"))]), 1, "several (2 sub-exceptions)"),
        (ValueError("{x} <red>"), 1, "{x} <red>"),
        (ConfigError("x" * 10**6), 2, "x...\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_reported_and_none_looks_like_success(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_console("INFO"):
        assert report_error(error) == code
    err = capsys.readouterr().err
    assert text in err
    assert "Logging error" not in err
    assert len(err) < 10_000


def test_only_the_first_process_reports_a_mistake_that_all_find(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_module, "is_rank_zero", lambda: False)
    monkeypatch.setattr(main_module, "rank", lambda: 1)
    monkeypatch.setattr(main_module, "wait_unless_signaled", lambda seconds: False)
    assert report_error(ConfigError("seed is -1")) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(main_module, "wait_unless_signaled", lambda seconds: True)  # rank 0 is still running
    assert report_error(ConfigError("seed is -1")) == 2
    assert capsys.readouterr().err == "[rank 1] error: seed is -1\n"


def test_main_restores_signal_handlers(cli: Cli, tiny: Callable[..., str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    assert cli("fit", "--config", tiny()).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == before


def test_arguments_default_to_those_of_the_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["cli.py", "tset"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("error: no stage is called 'tset'; did you mean 'test'?\n")


def test_version_names_the_project_and_its_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [main.__module__.partition(".")[0], "torch", "pytorch-lightning"]
    assert lines[1] == f"torch {version('torch')}"


@pytest.mark.parametrize("argv", [["fit", "--help"], ["--version"], ["fit", "--model.net.help"]])
def test_reader_may_close_the_output(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `python cli.py fit --help | head -1`; closing the stream would raise the error again."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(argv) == 0


def test_garbage_collection_is_as_before(cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if building fails."""
    monkeypatch.setattr(gc, "get_freeze_count", gc.get_freeze_count.__wrapped__)  # type: ignore[attr-defined]
    gc.unfreeze()
    assert cli("fit", "--config", tiny(), "--trainer.fast_dev_run", "true").code == 0
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
    assert cli("fit", "--config", tiny(), "--model.net.hidden", "-1").code == 1
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)
    gc.freeze()

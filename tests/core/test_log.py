"""All messages go through loguru to the console and to log.txt."""

import io
import logging
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

import project
from project.core import log as log_module
from project.core.errors import ConfigError
from project.core.log import is_rank_zero, logging_to_console, logging_to_file, rank
from tests.conftest import Cli


def test_messages_of_lightning_and_warnings_go_to_loguru(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with logging_to_console("INFO"), logging_to_file(tmp_path / "log.txt"):
        logging.getLogger("pytorch_lightning.x").info("from Lightning")
        logging.getLogger("pytorch_lightning.x").info("💡 Tip: an advertisement")
        warnings.warn("from Python", stacklevel=1)
        warnings.warn_explicit("of Lightning", UserWarning, "/lib/pytorch_lightning/core/optimizer.py", 285)
        logger.debug("details")
        sys.stderr.flush()
    err = capsys.readouterr().err
    assert [line[9:].split("(")[0].strip() for line in err.splitlines()] == [
        "INFO    from Lightning",
        "WARNING UserWarning: from Python",
        "WARNING of Lightning",
    ]
    log = (tmp_path / "log.txt").read_text()
    assert "INFO    from Lightning\n" in log
    assert "DEBUG   details\n" in log


def test_message_of_a_dataset_that_is_built_several_times_is_logged_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In each run of a process; other messages are logged whenever they are sent."""
    of_dataset = logger.patch(lambda record: record.update({"name": f"{project.__name__}.datasets.mine"}))
    for number in range(2):
        with logging_to_console("INFO"):
            of_dataset.info("built")
            with logging_to_console("INFO"), logging_to_file(tmp_path / f"log{number}.txt"):  # as in a stage
                for each in (of_dataset, logger):
                    each.info("built")
                    each.info("other")
        expected = ["built", "other", "built", "other"]
        assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == expected
        lines = (tmp_path / f"log{number}.txt").read_text().splitlines()
        assert [line.split()[-1] for line in lines] == expected


def test_the_warning_of_python_about_forks_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Python warns while loguru's locks are held for the fork: workers of a data loader would never start."""
    with logging_to_console("INFO"):
        text = "This process (pid=1) is multi-threaded, use of fork() may lead to deadlocks in the child."
        warnings.warn(text, DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == ""


def test_handlers_are_restored_after_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    lightning = logging.getLogger("pytorch_lightning")
    before = (list(lightning.handlers), lightning.propagate, warnings.showwarning)
    with logging_to_console("ERROR"):
        logger.warning("not shown")
    assert (list(lightning.handlers), lightning.propagate, warnings.showwarning) == before
    assert capsys.readouterr().err == ""


def test_other_ranks_show_only_errors_and_write_no_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert (rank(), is_rank_zero()) == (1, False)
    with logging_to_console("INFO"), logging_to_file(tmp_path / "log.txt"):
        logger.warning("not shown")
        logger.error("shown")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("[rank 1] ")
    assert line.endswith("ERROR   shown")
    assert not (tmp_path / "log.txt").exists()


def test_log_file_is_appended_to(tmp_path: Path) -> None:
    for message in ("first", "second"):
        with logging_to_file(tmp_path / "log.txt"):
            logger.info(message)
    assert [line.split()[-1] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["first", "second"]


def test_log_level_is_that_of_the_console_only(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--log_level", "ERROR")
    assert (ran.code, ran.err) == (0, "")
    assert "INFO    epoch 1/1" in (tmp_path / "experiments/tiny/log.txt").read_text()
    ran = cli("fit", "--config", tiny(), "--log_level", "chatty")
    assert ran.err == "error: log_level is 'chatty'; it takes DEBUG | INFO | WARNING | ERROR\n"


def test_without_a_terminal_each_epoch_is_a_line(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--trainer.max_epochs", "3")
    lines = [line.split()[2:4] for line in ran.err.splitlines() if " epoch " in line[:25]]
    assert lines == [["epoch", "1/3"], ["epoch", "2/3"], ["epoch", "3/3"]]
    assert "val/accuracy 0." in ran.err
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("environment", "shows"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["terminal", "NO_COLOR", "dumb terminal"],
)
def test_colors_are_shown_only_where_they_are_wanted(
    environment: dict[str, str], shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR and TERM=dumb turn off the colors of a terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", shown)
    with logging_to_console("INFO"):
        logger.info("message")
    assert ("\x1b" in shown.getvalue()) == shows


def lines_of(log: Path) -> list[str]:
    """Return the lines of a log without their times, which are checked."""
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    return [line[20:] for line in lines]


def test_earlier_messages_are_written_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.txt"
    with logging_to_console("INFO"):
        logger.patch(lambda record: record.update({"time": record["time"].replace(year=2001)})).info("of 2001")
        with logging_to_console("ERROR"):
            logger.debug("{details}")
            warnings.warn("from Python", stacklevel=1)
            with logging_to_file(log):
                logger.info("later")
            with logging_to_file(log):
                logger.info("appended")
    earlier = ["INFO    of 2001", "DEBUG   {details}"]
    lines = lines_of(log)
    assert lines[:2] == earlier
    assert lines[2].startswith("WARNING UserWarning: from Python")
    assert lines[3:] == ["INFO    later", "INFO    appended"]
    assert log.read_text()[:4] == "2001"


def test_messages_are_kept_only_until_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = log_module._earlier.lines
    with logging_to_console("INFO"):
        logger.info("first")
        assert len(kept) == 1
        with logging_to_file(tmp_path / "log.txt"):
            logger.info("second")
            assert len(kept) == 0
        logger.info("third")
        assert len(kept) == 0
    with logging_to_console("INFO"):
        for number in range(10_001):
            logger.debug(number)
        assert len(kept) == 10_000  # of a stage that opens no file
    assert len(kept) == 0
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with logging_to_console("INFO"):
        logger.info("of another rank")
        assert len(kept) == 0


@pytest.mark.parametrize("name", ["a{b}", "lr{0.1}", "{", "{{}}", "{time}"])
def test_path_may_contain_braces(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with logging_to_file(tmp_path / name / "log.txt"):
        logger.info("message")
    assert lines_of(tmp_path / name / "log.txt") == ["INFO    message"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_log_that_cannot_be_written_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "log.txt").mkdir()
    with (
        pytest.raises(ConfigError, match=r"/log\.txt cannot be written: Is a directory$"),
        logging_to_file(tmp_path / "log.txt"),
    ):
        pass


@pytest.mark.parametrize(("root", "name"), [("experiments/a{b}", "x"), ("$NO_VARIABLE/{runs}", "x")])
def test_run_directory_may_contain_braces(
    root: str, name: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny(), "--root", root, "--name", name)
    assert ran.code == 0, ran.err
    assert "INFO    epoch 1/1" in (tmp_path / root / name / "log.txt").read_text()
    ran = cli("fit", "--resume", f"{root}/{name}", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    ran = cli("test", "--ckpt_path", f"{root}/{name}")
    assert ran.code == 0, ran.err


def test_log_file_begins_with_the_start_of_the_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """All that is on the console is in log.txt, of repeated calls as well; nothing of other calls is."""
    log = tmp_path / "experiments/tiny/log.txt"

    def shown(ran: Any) -> list[str]:
        assert ran.code == 0, ran.err
        return [line[9:] for line in ran.err.splitlines()]

    config = tiny()

    def logged() -> list[str]:
        return [line for line in lines_of(log) if not line.startswith("DEBUG")]

    first = shown(cli("fit", "--config", config))
    assert logged() == first
    assert cli("fit", "--config", config).code == 2  # there is a run of this name
    assert logged() == first
    replaced = shown(cli("fit", "--config", config, "--replace"))
    assert any("moved the previous run" in line for line in replaced)
    assert logged() == replaced
    changed = tiny({"model": {"optimizer": {"lr": 0.5}}})
    resumed = shown(cli("fit", "--config", changed, "--resume", "auto"))
    assert any("ignored changes in the yaml files: model.optimizer.lr" in line for line in resumed)
    assert logged() == replaced + resumed


def test_mistake_leaves_no_log(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--checkpoint.monitor", "val/nothing", "--trainer.num_sanity_val_steps", "1")
    assert ran.code == 2, ran.err
    assert not (tmp_path / "experiments").exists()

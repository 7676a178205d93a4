"""All messages go through loguru to the console and to log.txt."""

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger
from pytorch_lightning.utilities import rank_zero_only

from project.core.log import is_rank_zero, logging_to_console, logging_to_file, rank
from tests.conftest import Cli


def test_messages_of_lightning_and_warnings_go_to_loguru(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with logging_to_console("INFO"), logging_to_file(tmp_path / "log.txt"):
        logging.getLogger("pytorch_lightning.x").info("from Lightning")
        logging.getLogger("pytorch_lightning.x").info("💡 Tip: an advertisement")
        warnings.warn("from Python", stacklevel=1)
        logger.debug("details")
        sys.stderr.flush()
    err = capsys.readouterr().err
    assert [line[9:].split("(")[0].strip() for line in err.splitlines()] == [
        "INFO    from Lightning",
        "WARNING UserWarning: from Python",
    ]
    log = (tmp_path / "log.txt").read_text()
    assert "INFO    from Lightning\n" in log
    assert "DEBUG   details\n" in log


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
    assert "INFO    epoch 0/0" in (tmp_path / "experiments/tiny/log.txt").read_text()
    ran = cli("fit", "--config", tiny(), "--log_level", "chatty")
    assert ran.err == "error: log_level is 'chatty'; it takes DEBUG | INFO | WARNING | ERROR\n"


def test_without_a_terminal_each_epoch_is_a_line(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--trainer.max_epochs", "3")
    lines = [line.split()[2:4] for line in ran.err.splitlines() if " epoch " in line]
    assert lines == [["epoch", "0/2"], ["epoch", "1/2"], ["epoch", "2/2"]]
    assert "val/accuracy 0." in ran.err
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err

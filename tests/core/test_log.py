import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger

from project.core.log import logging_to, logging_to_file
from tests.conftest import Cli


def test_sources_pass_through_loguru(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with logging_to("INFO"), logging_to_file(tmp_path / "log.txt"):
        logging.getLogger("pytorch_lightning.x").info("from Lightning")
        logging.getLogger("pytorch_lightning.x").info("💡 Tip: buy this")
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


def test_everything_is_as_before_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    lightning = logging.getLogger("pytorch_lightning")
    before = (list(lightning.handlers), lightning.propagate, warnings.showwarning)
    with logging_to("ERROR"):
        logger.warning("not shown")
    assert (list(lightning.handlers), lightning.propagate, warnings.showwarning) == before
    assert capsys.readouterr().err == ""


def test_level_of_the_console(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--log_level", "ERROR")
    assert (ran.code, ran.err) == (0, "")
    assert "INFO    epoch 0/0" in (tmp_path / "experiments/tiny/log.txt").read_text()
    ran = cli("fit", "--config", tiny(), "--log_level", "chatty")
    assert ran.err == "error: log_level is 'chatty'; it takes DEBUG | INFO | WARNING | ERROR\n"


def test_a_line_per_epoch_where_there_is_no_terminal(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(), "--trainer.max_epochs", "3")
    lines = [line.split()[2:4] for line in ran.err.splitlines() if " epoch " in line]
    assert lines == [["epoch", "0/2"], ["epoch", "1/2"], ["epoch", "2/2"]]
    assert "val/accuracy 0." in ran.err
    assert "\r" not in ran.err
    assert "\x1b" not in ran.err

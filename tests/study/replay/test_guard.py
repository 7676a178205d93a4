"""A run directory is protected during a replay, whatever writes and however."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.errors import ConfigError
from project.study.replay.guard import VARIABLE, protecting
from project.study.replay.replaying import replay_steps
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.study.replay.test_kinds import files_of

WRITES: dict[str, Callable[[Path], object]] = {
    "write": lambda run: (run / "new.txt").write_text("x"),
    "append": lambda run: (run / "log.txt").open("a"),
    "os.open": lambda run: os.open(run / "log.txt", os.O_RDWR),
    "relative path": lambda run: Path(os.path.relpath(run), "log.txt").write_text("x"),
    "symbolic link to the directory": lambda run: (run.parent / "link/new.txt").write_text("x"),
    "symbolic link to a file": lambda run: (run.parent / "file").write_text("x"),
    "rename": lambda run: (run / "log.txt").rename(run.parent / "elsewhere"),
    "replace": lambda run: (run.parent / "other").replace(run / "log.txt"),
    "remove": lambda run: (run / "log.txt").unlink(),
    "mkdir": lambda run: (run / "new").mkdir(),
    "rmdir": lambda run: (run / "empty").rmdir(),
    "link": lambda run: os.link(run.parent / "other", run / "new"),
    "symlink": lambda run: (run / "new").symlink_to("other"),
    "truncate": lambda run: os.truncate(run / "log.txt", 0),
    "chmod": lambda run: (run / "log.txt").chmod(0o600),
    "utime": lambda run: os.utime(run / "log.txt", (0, 0)),
    "rmtree": lambda run: shutil.rmtree(run),
    "rmtree of a directory in it": lambda run: shutil.rmtree(run / "empty"),
    "copy": lambda run: shutil.copy(run.parent / "other", run / "log.txt"),
    "move": lambda run: shutil.move(run, run.parent / "elsewhere"),
    "chmod of a file open for reading": lambda run: os.fchmod(os.open(run / "log.txt", os.O_RDONLY), 0o600),
    "torch.save, which writes in C++": lambda run: torch.save(1, run / "log.txt"),
    "sqlite3, by a URI": lambda run: sqlite3.connect(f"file:{run}/new.db?mode=rwc", uri=True),
    "relative to an open directory": lambda run: os.remove("log.txt", dir_fd=os.open(run, os.O_RDONLY)),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with a file, and links to both beside it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run"
    (path / "empty").mkdir(parents=True)
    (path / "log.txt").write_text("log")
    (tmp_path / "other").write_text("other")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "file").symlink_to(path / "log.txt")
    return path


@pytest.mark.parametrize("how", WRITES)
def test_writes_are_refused(how: str, run: Path) -> None:
    before = files_of(run)
    with protecting(run), pytest.raises(ConfigError, match=r"would be changed by .*test_guard.*: leave it out"):
        WRITES[how](run)
    assert files_of(run) == before


def test_others_are_allowed_and_nothing_remains_of_the_protection(run: Path) -> None:
    """Reading, and writing in a directory whose name begins with the same letters."""
    with protecting(run):
        assert (run / "log.txt").read_text() == "log"
        (run.parent / "running").mkdir()
        (run.parent / "running/new.txt").write_text("x")
        with protecting(run):
            assert json.loads(os.environ[VARIABLE]) == [str(run)] * 2
    assert VARIABLE not in os.environ
    (run / "log.txt").write_text("x")


@pytest.mark.parametrize(
    ("over", "culprit"),
    [
        ({"trainer": {"callbacks": [{"type": "tests.study.replay.components.Writer"}]}}, "Writer.on_train_batch_end"),
        pytest.param(
            {
                "data": {
                    "num_workers": 1,
                    "train": {"type": "tests.study.replay.components.WritingSamples", "length": 42},
                }
            },
            "WritingSamples.__getitem__",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_component_with_a_fixed_path_in_the_run_is_refused(
    over: dict[str, dict[str, Any]], culprit: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """A callback in this process, a dataset in a worker; the message names the file and what writes."""
    run = tmp_path / "experiments/tiny"
    component = over.get("data", {}).get("train") or over["trainer"]["callbacks"][0]
    component["path"] = str(run)
    config, more = tiny(RANDOM), tiny({"base": []} | over, "over.yaml")
    ran = cli("fit", "--config", config, "--config", more, "--trainer.max_epochs", "1")
    assert ran.code == 0, ran.err
    before = files_of(run)
    with pytest.raises(ConfigError, match=rf"{run}\S* would be changed by {culprit}"):
        replay_steps(run, 4, 4, trust=True)
    assert files_of(run) == before

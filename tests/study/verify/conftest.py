"""A trained run for all tests of verifications, and the command."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from project.core.run.checkpoint_files import list_by_step
from project.core.run.state_chain import STATES, Link
from project.core.run.state_digest import state_digest
from tests.conftest import TINY, Cli, Ran

Verify = Callable[..., Ran]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run of 8 steps with checkpoints after steps 2, 4, 6 and 8."""
    from project.core.cli.main import main

    directory = tmp_path_factory.mktemp("trained")
    tree: dict[str, Any] = TINY | {
        "root": str(directory),
        "model": TINY["model"] | {"scheduler": {"type": "StepLR", "step_size": 3}, "interval": "step"},
        "checkpoint": {"milestones": 8},
        "trainer": TINY["trainer"] | {"max_epochs": 4, "log_every_n_steps": 1},
    }
    (directory / "tiny.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    with contextlib.chdir(directory):  # in no checkout of git
        assert main(["fit", "--config", "tiny.yaml"]) == 0
    return directory / "tiny"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, in which best.ckpt and last.ckpt are links, as in a run."""
    copied = shutil.copytree(trained, tmp_path / "run")
    for name in ("best.ckpt", "last.ckpt"):
        original = (trained / "checkpoints" / name).stat()
        for path in list_by_step(copied / "checkpoints"):
            if (trained / "checkpoints" / path.name).stat().st_ino == original.st_ino:
                (copied / "checkpoints" / name).unlink()
                os.link(path, copied / "checkpoints" / name)
    return copied


@pytest.fixture
def verify(cli: Cli, capfd: pytest.CaptureFixture[str]) -> Verify:
    """Return a function that calls the command in this process."""
    from project.study.verify.command import main

    def call(*argv: object) -> Ran:
        capfd.readouterr()
        code = main(["verify", *map(str, argv)])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


def checkpoint_of(run: Path, step: int) -> Path:
    """Return the checkpoint of a step."""
    return next(path for path, saved in list_by_step(run / "checkpoints").items() if saved == step)


def change(run: Path, step: int, apply: Callable[[dict[str, Any]], object]) -> None:
    """Change the checkpoint of a step."""
    path = checkpoint_of(run, step)
    content = torch.load(path, weights_only=True)
    apply(content)
    torch.save(content, path)


def forge(run: Path) -> None:
    """Make the chain, the headers of checkpoints and summary.json fit the checkpoints, as a forger would."""
    links: list[Link] = []
    for path in reversed(list_by_step(run / "checkpoints")):
        content = torch.load(path, weights_only=True)
        previous = links[-1] if links else None
        links.append(Link.after(previous, content["global_step"], content["epoch"] + 1, state_digest(content)))
        content["run_header"]["link"] = vars(links[-1])
        torch.save(content, path)
    (run / STATES).write_text("".join(json.dumps(vars(link)) + "\n" for link in links))
    summary = json.loads((run / "summary.json").read_text())
    summary["head"] = links[-1].head()
    (run / "summary.json").write_text(json.dumps(summary))

"""Tests of docs/ask_a_run.md: its story is true, and its tables name what the code has."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from project.core.config.settings import DigestSettings
from project.core.run.lineage import Segment
from tests.template.conftest import ROOT, run

PAGE = (ROOT / "docs/ask_a_run.md").read_text(encoding="utf-8")
STORY = PAGE.partition("## A bad sample")[2].partition("\n## ")[0]
FILES = re.findall(r"^```\w+\n# (\w+/\S+)\n(.*?)^```$", STORY, re.M | re.S)
COMMANDS = re.findall(r"^(python cli.py .*)$", STORY, re.M)
OUTPUTS = re.findall(r"^```text\n(.*?)^```$", STORY, re.M | re.S)


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> set[str]:
    """Return what the first cells of the tables in a section name."""
    return {name for cell in re.findall(r"^\| (.*?) \|", section(title), re.M) for name in re.findall(r"`(.*?)`", cell)}


def test_tables_of_the_page_name_what_there_is() -> None:
    assert first_cells("Lineage") == Segment.__dataclass_fields__.keys()
    assert first_cells("Digests") == DigestSettings.__dataclass_fields__.keys()


def test_story_has_three_commands() -> None:
    words = [command.split()[2] for command in COMMANDS]
    assert words == ["fit", "fit", "replay", "fit"]  # the last one is the cure


@pytest.mark.slow
def test_the_story_is_true(copy: Path) -> None:
    """The three commands name sample 700; the cure is right, and `bisect` finds the first step with the sample."""
    for name, text in FILES:
        (copy / name).write_text(text, encoding="utf-8")
    train, look, ask, cure = ([sys.executable, *shlex.split(command)[1:]] for command in COMMANDS)
    step = COMMANDS[2].split()[-1]

    run(copy, *train)
    values = summary(copy / "experiments/scans")["best"]
    assert values["monitor"] == "val/accuracy"
    assert values["value"] < 0.3

    stopped = run(copy, *look, code=1)
    assert f"step {step}: the loss is 2.3" in stopped
    assert " ".join(COMMANDS[2].split()) in stopped

    told = run(copy, *ask)
    assert "all equal" in told
    (unusual,) = re.findall(r"^ *unusual: .*$", told, re.M)
    assert unusual.strip() in OUTPUTS[2]
    directory = copy / "experiments/debug/.replay/scans" / f"step_{int(step):06d}"
    assert "Unusual samples" in (directory / "replay.html").read_text(encoding="utf-8")

    run(copy, *cure)
    assert summary(copy / "experiments/fixed")["best"]["value"] > 0.95

    (compare,) = re.findall(r"^python (cli.py bisect .*)$", section("Bisect"), re.M)
    (parted,) = re.findall(r"^they part at .*: data image", section("Bisect"), re.M)
    assert parted in run(copy, sys.executable, *shlex.split(compare), code=1)


def summary(directory: Path) -> Any:
    return json.loads((directory / "summary.json").read_text())

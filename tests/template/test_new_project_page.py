"""Tests that the commands of docs/first_hour.md and docs/new_project.md do what the text says."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.template.conftest import ROOT, commit, git, run, start

FENCE = r"^```(\w*)\n(.*?)^```$"
HOUR = (ROOT / "docs/first_hour.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs/new_project.md").read_text()
INSTALL = "pip install -c constraints.txt -e '.[dev]'"  # done by CI
MINE = "LinearNet or Entropy or Confidence or Halves or RandomGain or FramedRow"


class Reader:
    """Reader that follows the instructions of a page.

    Args:
        folder: current directory; `cd` changes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def follow(self, text: str) -> str:
        """Run the commands and write the files of a text, and return the output."""
        printed = ""
        for kind, block in re.findall(FENCE, text, re.M | re.S):
            if name := re.match(r"# (\S+\.(?:py|yaml))\n", block):
                assert not (self.folder / name[1]).exists()
                (self.folder / name[1]).write_text(block)
            for line in block.splitlines() if kind == "bash" else ():
                printed += self.call(line)
        return printed

    def call(self, line: str) -> str:
        """Run a shell command."""
        if line == INSTALL:
            return ""
        if line.startswith("cd "):
            self.folder = (self.folder / line.removeprefix("cd ")).resolve()
            return ""
        if line.startswith("git add"):
            git(self.folder, "config", "user.name", "Somebody")
            git(self.folder, "config", "user.email", "somebody@example.org")
        if line == "pytest tests/contract":
            line += f" -n 0 -v -k '({MINE}) and not CrossEntropy'"
        return run(self.folder, "bash", "-euc", line)


@pytest.mark.slow
def test_the_first_hour(copy: Path) -> None:
    begin, heading, rest = HOUR.partition("## Update from the template")
    assert heading
    reader = Reader(copy)
    shown = reader.follow(begin)
    child = copy.parent / "Brighter"
    assert reader.folder == child
    for name in MINE.split(" or "):
        assert re.search(rf"{name}\S* PASSED", shown), shown
    results = child / "experiments/halves/eval/test"
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics.keys() == {"cross_entropy", "entropy", "sum", "accuracy", "confidence"}
    (promised,) = re.findall(r"at least (\d+) %", begin)
    assert metrics["accuracy"] >= int(promised) / 100
    assert (results / "samples.csv").read_text().splitlines()[0].endswith(",cross_entropy,entropy,accuracy")
    assert Image.open(results / "visual.png").size == (16 * 10, 10)
    assert git(child, "log", "-1", "--format=%s") == "Which half is brighter?"
    assert git(child, "diff", "--name-status", "template").splitlines() == [
        f"A\t{name}" for name in sorted(re.findall(r"^# (\S+\.(?:py|yaml))$", begin, re.M))
    ]
    assert "nothing is new\n" in (shown := reader.follow(rest))
    assert "Already up to date." in shown


def commands_of(page: str) -> list[str]:
    """Return the lines of the fences of a page."""
    return [line for _, text in re.findall(FENCE, page, re.M | re.S) for line in text.splitlines()]


def test_first_commands_of_the_page_are_those_of_the_first_hour() -> None:
    assert commands_of(PAGE)[:3] == commands_of(HOUR)[:3]


@pytest.mark.slow
def test_commands_of_the_page_show_edits(copy: Path, tmp_path: Path) -> None:
    commands = commands_of(PAGE)
    child = start(copy, tmp_path, "Brighter")
    with (child / "Brighter/core/cli/main.py").open("a") as file:
        file.write("# edited\n")
    shown = {line: run(child, *shlex.split(line)) for line in commands if line.startswith("git diff ")}
    assert len(shown) == 2
    assert all("Brighter/core/cli/main.py" in text for text in shown.values())


@pytest.mark.slow
@pytest.mark.parametrize("mine", [False, True], ids=["no components", "one component of each kind"])
def test_project_without_the_examples(copy: Path, tmp_path: Path, mine: bool) -> None:
    child = start(copy, tmp_path, "Brighter")
    own_page = (child / "docs/new_project.md").read_text()
    block = re.findall(FENCE, own_page.partition("\n## Delete the examples\n")[2], re.M | re.S)[0][1]
    run(child, "bash", "-euc", block)
    packages = ("models", "losses", "metrics", "datasets", "transforms", "visuals")
    left = {
        path.relative_to(child).as_posix() for name in packages for path in (child / "Brighter" / name).rglob("*.*")
    }
    assert {Path(name).name for name in left} == {"__init__.py", "base.py"}
    assert sorted(path.name for path in (child / "configs").glob("*.yaml")) == ["default.yaml"]
    if mine:
        reader = Reader(child)
        for part in re.findall(r"^```python\n# .*?^```$", HOUR, re.M | re.S):
            reader.follow(part)
    run(child, sys.executable, "scripts/write_reference.py")
    assert "ResNet" not in (child / "docs/reference/components.md").read_text()
    assert not [*(child / "docs/reference/pictures").glob("*ClassificationGrid*")]
    commit(child, "No examples")
    shown = run(child, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert re.search(r"\d\d\d passed", shown), shown
    for tool in ("ruff check .", "ruff format --check .", f"mypy --cache-dir {tmp_path / 'mypy'}"):
        run(child, sys.executable, "-m", *tool.split())
    assert git(child, "status", "--porcelain") == ""

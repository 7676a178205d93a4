"""The pages of docs/reference list the commands, options, exit codes and files that there are; so does AGENTS.md."""

import re
import shlex
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from project import commands
from project.core.cli.arguments import COMMANDS, STAGES
from project.core.distributed.signals import PREEMPTED
from tests.conftest import Cli
from tests.template.conftest import ROOT

REFERENCE = ROOT / "docs/reference"
AGENTS = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
PAGE = (REFERENCE / "commands.md").read_text(encoding="utf-8")


def rows(text: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this head."""
    table = text.partition(f"\n| {head} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


OPTIONS = {row[0].strip("` "): re.findall(r"`--(\w+)`", row[2]) for row in rows(PAGE, "command")}


def test_all_commands_are_listed() -> None:
    assert list(OPTIONS) == [*dict.fromkeys(OPTIONS)]
    assert set(OPTIONS) == {*STAGES, *COMMANDS}


@pytest.mark.parametrize("stage", STAGES)
def test_options_of_a_stage(stage: str) -> None:
    assert sorted(OPTIONS[stage]) == sorted(STAGES[stage])


@pytest.mark.parametrize("command", COMMANDS)
def test_options_of_a_command(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert commands.main([command, "--help"]) == 0
    told = set(re.findall(r"^  --([a-z_]+)", capfd.readouterr().out, re.M)) - {"help"}
    assert set(OPTIONS.get(command, ())) == told


def test_exit_codes() -> None:
    """Both tables have the same codes, and that of a preempted run is the one that the engine returns."""
    codes = [row[0] for row in rows(PAGE, "code")]
    assert codes == ["0", "1", "2", str(PREEMPTED), "130, 143"]
    assert codes == [row[0] for row in rows(AGENTS, "exit code")]


def test_files_of_a_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A run has each file that the page says `fit` and `test` write, and no other."""
    over = {"visual": {"type": "tests.components.Row"}, "digests": {"parameters": 1}}
    assert cli("fit", "--config", tiny(over)).code == 0
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    run = tmp_path / "experiments/tiny"
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    table = rows((REFERENCE / "run_files.md").read_text(encoding="utf-8"), "file")
    listed = {pattern: row[1] for row in table for pattern in patterns(row[0])}
    assert sorted(file for file in files if not any(fnmatchcase(file, pattern) for pattern in listed)) == []
    always = ("`fit`", "`test`", "`fit` with `data.val`", "`fit`, from the tenth step on", "`fit` with `visual`")
    written = {pattern for pattern, when in listed.items() if when in always}
    assert len(written) > 15
    assert sorted(pattern for pattern in written if not any(fnmatchcase(file, pattern) for file in files)) == []


def patterns(cell: str) -> list[str]:
    """Return the paths of a cell, with `*` for words in capitals."""
    return [re.sub(r"[A-Z]+", "*", path) + "*" * path.endswith("/") for path in re.findall(r"`([^`]+)`", cell)]


def test_commands_of_the_page_for_assistants(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands of the command line are understood, its tools are those of the project."""
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```", AGENTS, re.M | re.S) for line in block.splitlines()]
    monkeypatch.chdir(ROOT)
    for line in (shlex.split(line) for line in lines if line.startswith("python cli.py ")):
        assert line[2] in OPTIONS
        if line[2] == "fit" and not any(word.endswith((".help", "ResNet")) for word in line):
            assert cli(*line[2:], *(() if "--print_config" in line else ("--print_config",))).code == 0
    tools = {line.split()[0] for line in lines if not line.startswith("python ")}
    assert tools == {"ruff", "mypy", "pytest", "zensical"}


def test_paths_of_the_page_for_assistants() -> None:
    for path in re.findall(r"`([\w.]+/[\w./]*)`", AGENTS):
        assert "NAME" in path or any((folder / path).exists() for folder in (ROOT, ROOT / "configs")), path
    assert len(AGENTS.splitlines()) < 100
    assert "(docs/llms.txt)" in AGENTS

"""The commands of docs/configuration.md about editors and shells do what it says, and the schema accepts all pages."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from project.commands import main
from project.core.config.configuration import root_parameters
from project.core.config.reference_texts import mark_references, shield
from project.core.config.yaml_files import parse_yaml
from project.core.errors import ConfigError
from tests.template.conftest import ROOT

FENCE = r"^```(\w+)\n(.*?)^```$"
PAGE = ROOT / "docs/configuration.md"


def test_commands_for_editors_and_shells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The schema that they write accepts the yaml on all pages."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    text = PAGE.read_text(encoding="utf-8").partition("\n## Help in an editor\n")[2]
    called = []
    for line in "".join(block for kind, block in re.findall(FENCE, text, re.M | re.S) if kind == "bash").splitlines():
        if line.startswith("python cli.py"):
            command, _, file = line.partition(" > ")
            called.append(command.removeprefix("python cli.py "))
            capfd.readouterr()
            assert main(shlex.split(called[-1])) == 0
            Path(file.replace("~", str(tmp_path))).write_text(capfd.readouterr().out)
        else:
            subprocess.run(["bash", "-c", line], check=True)
    assert called == ["schema", "completion bash", "completion fish"]
    subprocess.run(["bash", "-c", "source ~/.bashrc && complete -p python"], check=True)
    validator = Draft202012Validator(json.loads(Path("configs/schema.json").read_text()))
    wrong = [(page, error.message) for page, tree in experiments() for error in validator.iter_errors(tree)]
    assert wrong == []


def experiments() -> list[tuple[str, object]]:
    """Return the yaml on the pages that is, by its keys, of an experiment.

    What the code on a page defines is no component of this project: it gets a dotted path.
    """
    found: list[tuple[str, object]] = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        fences = re.findall(FENCE, page.read_text(encoding="utf-8"), re.M | re.S)
        defined = re.findall(
            r"^(?:class|def) (\w+)", "".join(block for kind, block in fences if kind == "python"), re.M
        )
        for kind, block in fences:
            for name in defined:
                block = re.sub(rf"\b(?<!\.){name}\b(?!:)", f"my.{name}", block)
            if kind in ("yaml", "yml"):
                try:
                    tree = mark_references(parse_yaml(shield(block), page.name))
                except (ConfigError, yaml.YAMLError):  # not a whole file
                    continue
                if isinstance(tree, dict) and tree.keys() <= {*root_parameters(), "base", "sweep"}:
                    found.append((page.relative_to(ROOT).as_posix(), tree))
    assert len(found) > 3
    return found

"""The install page says what pyproject.toml, the Dockerfile and CI have, and has the commands of README and CI."""

import json
import re
import shlex
import tomllib

import pytest
import yaml

from tests.conftest import CONFIGS, Cli

ROOT = CONFIGS.parent
PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = [
    line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.replace("\\\n", " ").splitlines()
]
JOBS = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]


def test_table_has_each_extra() -> None:
    rows = re.findall(r"(?m)^\| `(\w+)` \|", PAGE)
    assert rows == list(dict.fromkeys(rows))
    assert set(rows) == set(PYPROJECT["project"]["optional-dependencies"])


def test_pip_commands_are_those_of_the_readme() -> None:
    first = "pip install -c constraints.txt -e ."
    assert [
        line.replace("--extra-index-url https://download.pytorch.org/whl/cpu ", "")
        for line in COMMANDS
        if line.startswith("pip install")
    ] == [first, first]
    assert first in (ROOT / "README.md").read_text(encoding="utf-8")


def test_uv_commands_are_those_of_ci_and_name_an_extra() -> None:
    steps = [step["run"] for step in JOBS["uv"]["steps"] if "run" in step]
    found = [line for line in COMMANDS if line.startswith("uv ")]
    assert found[:2] == steps
    assert shlex.split(found[2])[-1] in PYPROJECT["project"]["optional-dependencies"]


def test_commands_of_the_image_are_those_of_ci_and_have_what_they_need() -> None:
    steps = [step["run"] for step in JOBS["image"]["steps"] if "run" in step]
    assert [line for line in COMMANDS if line.startswith("docker ")][:3] == steps[:3]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (extras,) = re.findall(r"-e '\.\[(.*?)\]'", dockerfile)
    assert extras.split(",") == ["export", "serve"]
    assert shlex.split(dockerfile.partition("ENTRYPOINT ")[2].splitlines()[0].strip("[]"))[0].startswith("python")
    assert "--build-arg TORCH_INDEX=https://pypi.org/simple" in " ".join(PAGE.split())
    assert "ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu" in dockerfile


@pytest.mark.parametrize("line", [line for line in COMMANDS if " image fit " in line])
def test_training_in_the_image_writes_to_its_volume(line: str, cli: Cli) -> None:
    words = line.partition(" image ")[2].replace("configs/", f"{CONFIGS}/")
    done = cli(*shlex.split(words), "--print_config")
    assert (done.code, "root: /runs" in done.out) == (0, True)


def test_development_container_installs_the_extra_dev() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"].endswith(" -c constraints.txt -e '.[dev]'")


def test_page_and_citation_name_the_versions_that_are_used() -> None:
    versions = JOBS["system"]["strategy"]["matrix"]["python"]
    assert f"Python {versions[0]} to {versions[-1]}" in PAGE
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in PYPROJECT["project"]["authors"]]
    assert citation["authors"][0]["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")

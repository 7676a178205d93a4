"""Tests of docs/serve.md: its commands run, and its tables and answers are those of the server."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from project.deploy.server.schema import PROBLEMS
from project.deploy.server.settings import Limits
from tests.template.conftest import ROOT, run
from tests.template.serving import follow, serving
from tests.template.test_deploy_page import BLOCKS as DEPLOY_BLOCKS
from tests.template.test_deploy_page import paths
from tests.template.test_tour import DRIVER

PAGE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
INSTALL = "pip install -c constraints.txt -e '.[serve]'"
MODEL = Path("experiments/digits/export/model.onnx")
# Of the engine, and of what it needs, an image has nothing.
BLOCKED = ("torch", "pytorch_lightning", "torchmetrics", "jsonargparse", "yaml", "loguru")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table of a section, without its head."""
    return [re.split(r" *\| *", line.strip("| ")) for line in re.findall(r"^\|.*", section(title), re.M)[2:]]


def test_every_command_is_known() -> None:
    commands = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
    assert [line for line in commands if line.startswith("pip ")] == [INSTALL]
    known = (INSTALL, "python cli.py serve ", "curl ", "export SERVE_TOKEN=")
    assert [line for line in commands if not line.startswith(known)] == []


def test_statuses_of_the_page_are_those_of_the_server() -> None:
    found = {number: text for numbers, text in rows("Errors") for number in map(int, re.findall(r"\d+", numbers))}
    assert sorted(found) == sorted([*PROBLEMS, 404, 405])
    assert {number: found[number] for number in PROBLEMS} == PROBLEMS


def test_limits_of_the_page_are_those_of_the_server() -> None:
    listed = {name.strip("`"): value for name, value, _ in rows("Limits")}
    assert listed.pop("--max_pixels") == "measured by `export`"
    assert {name: float(value.replace(",", "")) for name, value in listed.items()} == asdict(Limits())


@pytest.mark.slow
def test_snippets_and_container_of_the_page(copy: Path, tmp_path: Path) -> None:
    export_digits(copy)
    printed = follow(copy, [(kind, text.replace(f"{INSTALL}\n", "")) for kind, text in BLOCKS])
    (snippet,) = (text for kind, text in BLOCKS if kind == "python")
    assert printed.pop(snippet) == "5\n"
    answers = [json.loads(text) for text in printed.values()]
    excerpt, problem = (json.loads(text) for kind, text in BLOCKS if kind == "json")
    if shutil.which("curl"):
        first, both, error, with_token = answers
        assert names(excerpt) == names(first) == names(with_token)
        assert excerpt["predictions"][0]["answers"]["label"] == first["predictions"][0]["answers"]["label"]
        assert len(both["predictions"]) == 2
        assert both["predictions"][0] == first["predictions"][0]
        assert error.keys() == problem.keys()
        assert (error["status"], error["detail"]) == (problem["status"], problem["detail"])
    check_container(copy, tmp_path)


def export_digits(folder: Path) -> None:
    """Train and export the digits, and write pictures of them, as docs/deploy.md does."""
    fit = "python cli.py fit --config configs/digits.yaml"
    run(folder, sys.executable, "-c", DRIVER, fit, "python cli.py export --ckpt_path experiments/digits")
    run(folder, sys.executable, "-c", next(text for kind, text in DEPLOY_BLOCKS if "Path(" in text))


def names(answer: Any) -> set[str]:
    """Return the paths of the keys of an answer, of whose predictions the first is taken."""
    return paths(answer | {"predictions": answer["predictions"][0]})


def check_container(folder: Path, image: Path) -> None:
    """Follow the Dockerfile without Docker: what it copies is enough for its last lines."""
    (lines,) = (text.splitlines() for kind, text in BLOCKS if kind == "dockerfile")
    for line in lines:
        if line.startswith("COPY "):
            source, target = line.split()[1:]
            where = image / target
            if (folder / source).is_dir():
                shutil.copytree(folder / source, where)
            else:
                where = where / Path(source).name if target.endswith(("/", ".")) else where
                where.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / source, where)
    (image / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({BLOCKED!r}))\n")
    (check, command) = (json.loads(line.partition("CMD ")[2]) for line in lines if "CMD " in line)
    with serving(image, " ".join(command), {"SERVE_TOKEN": "a-long-secret"}) as port:
        subprocess.run([sys.executable, *(word.replace("8000", port) for word in check[1:])], check=True)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/model", timeout=10) as answer:
            assert json.load(answer)["name"] == "digits"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            found = set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.M))
    assert found == set(re.findall(r"`(serve_\w+)`", section("Metrics")))

"""Tests that the README is short, that what it shows trains, and that its commands are those that CI runs."""

import json
import re
import tomllib

import project
from project.registry import MODEL_REGISTRY
from tests.template.conftest import ROOT
from tests.template.how_to.conftest import reader as reader
from tests.template.how_to.reader import FENCE, Reader, check_contract

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(FENCE, TEXT, re.M | re.S)


def test_readme_is_short_and_shows_a_run_first() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 200
    (picture,) = (number for number, line in enumerate(lines) if line.startswith("!["))
    assert picture < 15
    assert (ROOT / "docs/run.png").stat().st_size < 300_000


def test_badges_say_what_pyproject_says() -> None:
    """They need no service; the third one is GitHub's, of the workflow that exists."""
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert package["requires-python"] == ">=3.11"
    assert "<title>Python 3.11+</title>" in (ROOT / "docs/badges/python.svg").read_text(encoding="utf-8")
    assert package["license"] == "MIT"
    assert "<title>licence MIT</title>" in (ROOT / "docs/badges/licence.svg").read_text(encoding="utf-8")
    (workflow,) = re.findall(r"\(\.\./\.\./actions/workflows/([\w.]+)/badge\.svg\)", TEXT)
    assert (ROOT / ".github/workflows" / workflow).exists()


def test_every_command_is_run_here_or_by_ci() -> None:
    """The first block is run by .ci/start_projects, the second one by .ci/run, the third one below."""
    assert [text for kind, text in BLOCKS if kind == "bash"] == [
        "pip install -c constraints.txt -e . && python cli.py fit --config configs/digits.yaml\n"
        "python cli.py test --ckpt_path experiments/digits\n",
        "pip install -c constraints.txt -e '.[dev]' && pytest\n",
        "python cli.py fit --config configs/one_layer.yaml\npython cli.py test --ckpt_path experiments/one_layer\n",
    ]


def test_its_yaml_and_its_class_train(reader: Reader) -> None:
    """Ten lines each, comments and docstrings aside, give the accuracy that the README states, and predictions.

    The class passes the contract tests.
    """
    for kind in ("yaml", "python"):
        (block,) = (text for each, text in BLOCKS if each == kind)
        lines = [line for line in block.splitlines() if line and not line.lstrip().startswith(("#", '"""'))]
        assert len(lines) == 10, block
    reader.follow("../../README", skip="digits")
    assert (reader.folder / project.__name__ / "models/one_layer.py").exists()
    metrics = json.loads((reader.folder / "experiments/one_layer/eval/test/metrics.json").read_text(encoding="utf-8"))
    (percent,) = re.findall(r"over (\d+) % of the test\sdigits", TEXT)
    assert metrics["accuracy"] > int(percent) / 100
    samples = (reader.folder / "experiments/one_layer/eval/test/samples.csv").read_text(encoding="utf-8")
    assert samples.startswith("index,prediction,prediction_name,target,target_name,")
    check_contract(MODEL_REGISTRY.resolve("OneLayer", "here"), reader.folder / "contract")

"""Tests of docs/recipes.md: each block of yaml, merged over the digits, trains a batch."""

import re
from pathlib import Path

import pytest

from tests.conftest import CONFIGS, Cli
from tests.template.conftest import ROOT

PAGE = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
BLOCKS = [
    pytest.param(text, id=section.partition("\n")[0])
    for section in PAGE.split("\n## ")[1:]
    for text in re.findall(r"^```yaml\n(.*?)^```$", section, re.M | re.S)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_recipes_train(block: str, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"base: {CONFIGS / 'digits.yaml'}\nname: recipe\n{block}")
    argv = ("--trainer.accelerator", "cpu", "--trainer.fast_dev_run", "true")
    ran = cli("fit", "--config", str(path), *argv)
    assert ran.code == 0, ran.err

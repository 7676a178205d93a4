"""Tests of the rows of docs/coming_from: what another tool takes gets a message, what is taken here is accepted."""

import importlib
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from project.core.cli.arguments import parse_arguments
from project.core.config.configuration import build_config
from project.core.config.other_tools import OTHER_NAMES, PAGES, find_page
from project.core.config.yaml_files import Tree, flatten, merge_all, parse_untyped, read_config
from project.core.errors import ConfigError
from tests.conftest import TINY, Cli, slow_except
from tests.template.coming_from.pages import Row, is_yaml, names_in, read_page, rows_of, settings_in
from tests.template.how_to.reader import Reader

ROWS = [row for page in OTHER_NAMES for row in rows_of(page)]
IDS = [f"{row.page}: {row.before[0]}" for row in ROWS]
MY = """import pytorch_lightning as pl
import torch

class Module(pl.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()

class Net(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": image}

class Data(pl.LightningDataModule):
    def train_dataloader(self) -> list[int]:
        return []
"""


@cache
def tiny() -> Tree:
    """Return the settings of a tiny run."""
    return merge_all([read_config(Path(TINY["base"])), {key: item for key, item in TINY.items() if key != "base"}])


def message_of(code: str) -> str:
    """Return the message that a yaml or the words of a command get."""
    try:
        settings = [parse_untyped(code, "page")] if is_yaml(code) else parse_arguments(["fit", *code.split()]).settings
        build_config(merge_all([tiny(), *settings]))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the module `my`, which the pages use as that of the reader."""
    (tmp_path / "my.py").write_text(MY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_names_of_the_other_tool_are_explained(row: Row) -> None:
    """The first message names the page and what the name is here."""
    for code in row.before:
        names = [name for name in names_in(code, row.page) if find_page(name) == row.page]
        is_word = code.startswith("-") or re.fullmatch(r"[+~]?[\w.]+(=\S+)?", code) is not None
        if row.is_unchanged or not names or not (is_yaml(code) or is_word):
            continue
        text = message_of(code)
        assert text.endswith(f"\nsee {PAGES}/{row.page}.md"), text
        assert any(OTHER_NAMES[row.page][name].partition(";")[0] in text for name in names), text


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_is_here_is_accepted(row: Row) -> None:
    """The settings of the second column are taken; what is said to be the same is taken from the first column."""
    unchanged = [tree for code in row.before if row.is_unchanged for tree in settings_in(code)]
    for tree in [*row.settings, *unchanged]:
        tree.pop("base", None)
        replaced = [key for key in ("model", "data") if {"type", "class_path"} & tree.get(key, {}).keys()]
        build_config(merge_all([{key: item for key, item in tiny().items() if key not in replaced}, tree]))
    for module, name in re.findall(r"`(pytorch_lightning[\w.]*)\.(\w+)`", row.text):
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("page", OTHER_NAMES)
def test_each_name_has_a_row_with_what_its_message_says(page: str) -> None:
    rows = rows_of(page)
    for name, meaning in OTHER_NAMES[page].items():
        own = [row for row in rows if any(name in names_in(code, page) for code in row.before)]
        assert own, f"{page}.md has no row with {name}"
        paths = {path for row in own for tree in row.settings for path in flatten(tree)}
        for path in re.findall(r"(?<!-)\b(?:model|data|trainer|checkpoint|progress|evaluation)\.[\w.]*\w", meaning):
            assert any(f"{known}.".startswith(f"{path}.") for known in paths), f"{name}: no row shows {path}"


@pytest.mark.parametrize("page", OTHER_NAMES)
def test_page_is_short_and_its_old_experiment_names_it(page: str) -> None:
    """A whole yaml of the other tool gets a message that names the page."""
    text = read_page(page)
    assert len(text.splitlines()) <= 80
    before = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert before is not None
    with pytest.raises(ConfigError, match=f"\nsee {PAGES}/{page}.md$"):
        build_config(parse_untyped(before[1], "page"))


@pytest.mark.parametrize("page", slow_except([*OTHER_NAMES], "older_template"))
def test_new_experiment_trains(page: str, reader: Reader) -> None:
    limits = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1")
    reader.follow(f"../coming_from/{page}", *limits)
    assert (reader.folder / "experiments/moved/checkpoints/last.ckpt").exists()


def test_page_of_a_name_that_several_tools_have() -> None:
    """`ckpt_path` is in two tables; the other names of the yaml decide."""
    assert find_page("ckpt_path", ["task_name"]) == "hydra_template"
    assert find_page("ckpt_path", ["seed_everything"]) == "lightning_cli"
    assert find_page("learning_rate") is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fit a.py", "'a.py' is not an option; a config is a yaml file\nsee docs/coming_from/mmengine.md"),
        ("fit --config a.py", "--config a.py: a config is a yaml file, not Python\nsee docs/coming_from/mmengine.md"),
        ("fit ~trainer.profiler", "'~trainer.profiler' is not an option: it is --trainer.profiler null here"),
        ("fit -m lr=1,2", "'-m' is not an option: it is the command sweep here"),
        ("trainer=gpu", "'trainer=gpu' is not an option: it is --config FILE here"),
        ("train", "no stage is called 'train'; did you mean 'fit'?"),
        ("--config a.yaml fit", "--config is before the stage, which is the first word: fit --config ..."),
    ],
)
def test_words_of_other_commands_are_explained(words: str, message: str, cli: Cli) -> None:
    ran = cli(*words.split())
    assert ran.code == 2
    assert ran.err.startswith(f"error: {message}")


def test_message_of_the_index_page(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message on the page is the one that the command gives."""
    shown = re.search(r"```\n\$ python cli.py (.*)\n((?:.*\n)*?)```", read_page("index"))
    assert shown is not None
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/digits.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.chdir(tmp_path)
    assert cli(*shown[1].split()).err == shown[2]

"""Values of the yaml and of options that refer to other values, to the environment and to the training set."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from project.core.cli.building import build_training_set
from project.core.config.configuration import build_config
from project.core.config.hyper_parameters import hyper_parameters
from project.core.config.paths import expand_paths
from project.core.config.reference_texts import ReferringText, escape, unescape
from project.core.config.references import ReferenceResolver, show_references
from project.core.config.trust import SavedText
from project.core.config.values import to_type
from project.core.config.yaml_files import Tree, merge_all, nest, parse_untyped, parse_yaml
from project.core.errors import ConfigError
from project.core.run.resume import saved_tree
from project.datasets.base import Dataset
from tests.conftest import Cli

VARS = """
vars: {k: 3, lr: 1e-3, on: true, off: null, text: '3', sizes: [4, 5], net: {width: 8}, chain: "${vars.net.width}0"}
seed: 7
"""


class Unbuilt(Dataset):
    """Dataset whose constructor fails."""

    def __init__(self) -> None:
        raise ZeroDivisionError("on purpose")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {}


class Counted(Dataset):
    """Dataset whose number of classes is known only after it was built; it also has attributes of other types."""

    def __init__(self, count: int = 4, data_dir: str = ".") -> None:
        super().__init__()
        self.classes = [f"{data_dir}{number}" for number in range(count)]
        self.share, self.is_small, self.title = 0.5, True, "counted"
        self.rows, self.mean, self.shape = np.int64(6), torch.tensor([0.5, 1.0]), (1, 8)
        self.drawn = int(torch.randint(10**6, ()))
        self.table, self.nothing = {"a": 1}, None

    @property
    def broken(self) -> int:
        """Fail as a mistake of the author."""
        return 1 // 0

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.zeros(1, 8, 8), "label": torch.tensor(index % 4)}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in {"NUMBER": "5", "WORD": "a, b: ${vars.k}", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


def resolve(text: str) -> Tree:
    """Return the tree of a yaml text with VARS, without references."""
    return ReferenceResolver(merge_all([parse_untyped(VARS, ""), parse_untyped(text, "")])).resolve()


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("${vars.k}", int, 3),
        ("${vars.k}", str, "3"),
        ("${vars.k}", Any, 3),
        ("${vars.text}", Any, "3"),
        ("${vars.lr}", float, 0.001),
        ("${vars.on}", bool, True),
        ("${vars.off}", int | None, None),
        ("${vars.sizes}", list[int], [4, 5]),
        ("${vars.sizes.1}", int, 5),
        ("[${vars.k}, 9]", list[int], [3, 9]),
        ("${vars.net.width}", int, 8),
        ("${vars.chain}", int, 80),
        ("${seed}", int, 7),
        ("fold_${ vars.k }", str, "fold_3"),
        ("${vars.k}${seed}", str, "37"),
        ("1${vars.k}", int, 13),
        ("'${vars.lr}'", float, 0.001),
        ("x${vars.off}", str, "xnull"),
        ("${env:NUMBER}", int, 5),
        ("${env:NUMBER}", str, "5"),
        ("${env:WORD}", str, "a, b: ${vars.k}"),
        ("${env:EMPTY}", str, ""),
        ("${env:EMPTY,3}", str, ""),
        ("${env:UNSET,3}", int, 3),
        ("${env:UNSET,}", str, ""),
        ("${env:UNSET,null}", int | None, None),
        ("${env:UNSET,a: b, c}", str, "a: b, c"),
        ("${env:UNSET,${vars.k}}", int, 3),
        ("${env:UNSET,${env:NUMBER,1}}/x", str, "5/x"),
        ("$${vars.k}", str, "${vars.k}"),
        ("$$${vars.k}", str, "$${vars.k}"),
        ("$5 and ${vars.k}", str, "$5 and 3"),
    ],
)
@pytest.mark.parametrize("form", ["value: {}", "{{list: [{{value: {}}}]}}"])
def test_reference_is_replaced_by_the_value_before_it_gets_its_type(
    form: str, text: str, annotation: Any, value: object
) -> None:
    tree = resolve(form.format(text))
    found = to_type((tree["list"][0] if "list" in tree else tree)["value"], annotation)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("root: ${HOME}/${vars.k}", "/home/me/3"),
        ("root: $HOME/run_${seed}", "/home/me/run_7"),
        ("root: ${env:UNSET,~/x}", "/home/me/x"),
        ("root: ${env:UNSET,${HOME}/x}/$NUMBER", "/home/me/x/5"),
        ("root: ${WORD}/${vars.k}", "a, b: ${vars.k}/3"),
        ("root: $${HOME}", "${HOME}"),
        ("{vars: {place: $HOME/x}, root: '${vars.place}/${vars.k}'}", "/home/me/x/3"),
        ("text: ${env:UNSET,~/x}", "~/x"),
    ],
)
def test_path_may_contain_references_and_variables(text: str, value: str) -> None:
    """In paths, `${NAME}` of a setting is a reference, and of other names a variable."""
    trees = [parse_untyped(VARS, ""), expand_paths(parse_untyped(text, ""))]
    assert list(ReferenceResolver(merge_all(trees)).resolve().values())[-1] == value


def test_no_variable_is_read_for_a_text_of_a_checkpoint() -> None:
    tree = {"place": SavedText("$HOME/x"), "root": ReferringText("${place}/y")}
    assert ReferenceResolver(tree).resolve("root") == {"root": "$HOME/x/y"}


def test_references_are_resolved_after_files_and_options_are_merged() -> None:
    base = parse_untyped("{vars: {k: 1}, name: 'run_${vars.k}', x: '${y}', y: 2}", "")
    assert ReferenceResolver(merge_all([base, nest("vars.k", "3"), {"y": "${vars.k}"}])).resolve() == {
        "vars": {"k": "3"}, "name": "run_3", "x": "${vars.k}", "y": "${vars.k}",
    }  # fmt: skip
    assert resolve("{a: '${b}', b: '${c}', c: '${vars.k}'}")["a"] == "3"


@pytest.mark.parametrize(
    ("items", "appended", "result"),
    [
        ("[x]", "${vars.sizes}", ["x", "4", "5"]),
        ("${vars.sizes}", "x", ["4", "5", "x"]),
        ("${vars.sizes}", "[[x], '${vars.sizes}']", ["4", "5", ["x"], ["4", "5"]]),
        ("[x]", "${vars.k}", ["x", "3"]),
    ],
)
def test_referred_list_is_appended_item_by_item(items: str, appended: str, result: list[Any]) -> None:
    """As the list itself would be; it was one item, a list."""
    trees = [parse_untyped(text, "") for text in (VARS, f"list: {items}", f"list+: {appended}")]
    assert ReferenceResolver(merge_all(trees)).resolve()["list"] == result


def test_constants_and_name_are_printed_as_they_were_written(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that looks like a number remains one, and another `type` in vars removes no other constants."""
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    constants = 'vars: {time: "12:30", a: "010", b: 010, c: 2, d: "yes", e: ["1", {f: "[1]"}], type: x}'
    (tmp_path / "constants.yaml").write_text(constants)
    files = ["--config", tiny({"name": "run_${seed}${vars.type}"}), "--config", "constants.yaml"]
    tree = parse_yaml(cli("fit", *files, "--seed", "4", "--vars.type", "y", "--print_config").out, "printed")
    assert tree["name"] == "run_4y_2"  # each task of an array has its own
    assert tree["vars"] == {
        "time": "12:30", "a": "010", "b": "010", "c": 2, "d": "yes", "e": ["1", {"f": "[1]"}], "type": "y",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["${x}", "$${x}", "$$${x", "a ${env:X} $ {b}", "$5"])
def test_escaped_text_is_read_back(text: str) -> None:
    """config.yaml and checkpoints contain literal texts, also those that look like references."""
    assert unescape(escape([text])) == [text]
    assert resolve(yaml.safe_dump({"x": escape(text)}))["x"] == text


def test_position_in_the_message_of_a_yaml_mistake_counts_references() -> None:
    with pytest.raises(ConfigError, match="here, line 1, column 22"):
        parse_untyped("{a: ${env:X,b: c}, d ]", "here")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_classes", 4), ("rows", 6), ("share", 0.5), ("is_small", True), ("title", "counted"),
        ("mean", [0.5, 1.0]), ("shape", [1, 8]), ("classes", ["d0", "d1", "d2", "d3"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["data", "data.train"])
def test_reference_to_an_attribute_of_the_training_set(path: str, name: str, value: object) -> None:
    text = (
        f"{{data: {{train: {{type: {__name__}.Counted, count: ${{n}}}}, data_dir: d}}, n: 4, x: '${{{path}.{name}}}'}}"
    )
    found = to_type(ReferenceResolver(parse_untyped(text, ""), build_training_set).resolve()["x"], Any)
    assert (found, type(found)) == (value, type(value))


def test_all_processes_build_the_same_training_set() -> None:
    text = f"{{data: {{train: {__name__}.Counted}}, seed: 5, x: '${{data.drawn}} ${{data.drawn}}'}}"
    drawn = {ReferenceResolver(parse_untyped(text, ""), build_training_set).resolve()["x"] for _ in range(2)}
    torch.manual_seed(5)
    number = int(torch.randint(10**6, ()))
    assert drawn == {f"{number} {number}"}


def test_printed_config_shows_values_and_references() -> None:
    text = "name: a_3\nmodel:\n  net:\n    type: MLP\n    hidden:\n    - 1\n    - 2\n  groups:\n  - lr: 0.1\nvars: {}\n"
    texts = {"name": "a_${vars.k}", "model.net": "${vars.net}", "model.net.hidden": "${vars.h}", "gone.x": "${y}"}
    assert show_references(text, texts | {"model.groups.0.lr": "${vars.lr}"}) == (
        "name: a_3  # a_${vars.k}\nmodel:\n  net:  # ${vars.net}\n    type: MLP\n    hidden:  # ${vars.h}\n    - 1\n"
        "    - 2\n  groups:\n  - lr: 0.1  # ${vars.lr}\nvars: {}\n"
    )


def test_saved_config_is_not_resolved() -> None:
    """A checkpoint of a stranger reads no variable, and a text that a reference takes from it remains untrusted."""
    config = 'root: r\nname: n\nsecret: ${env:NUMBER}\nliteral: $${vars.k}\nother: "b.c"\n'
    saved: Any = SimpleNamespace(header=SimpleNamespace(config=config), path="x")
    options = parse_untyped("{a: '${secret}', b: '${other}', c: 'x.${other}'}", "")
    for trusts in (False, True):
        tree = ReferenceResolver(merge_all([saved_tree(saved, [options], trusts), options])).resolve()
        assert tree["secret"] == tree["a"] == "${env:NUMBER}"
        assert (tree["literal"], tree["c"]) == ("${vars.k}", "x.b.c")
        assert [type(tree[key]) for key in "abc"] == [str if trusts else SavedText] * 3
    tree = {"data": {"type": SavedText("antigravity.Data")}, "x": ReferringText("${data.num_classes}")}
    with pytest.raises(ConfigError, match=r"saved in the checkpoint names 'antigravity\.Data'"):
        ReferenceResolver(tree, build_training_set).resolve()
    own = parse_untyped("{vars: {name: c}, type: 'b.${vars.name}'}", "")
    assert type(saved_tree(saved, [own])["other"]) is str


def test_known_references_are_resolved_for_help_and_trust() -> None:
    tree = parse_untyped("{vars: {n: MLP}, a: 'own.${vars.n}', b: ['${data.x}', '${gone}'], data: {train: X}}", "")
    known = ReferenceResolver(tree).resolve_known(tree)
    assert (known["a"], known["b"]) == ("own.MLP", ["${data.x}", "${gone}"])
    assert all(isinstance(text, ReferringText) for text in known["b"])


@pytest.fixture
def config(tiny: Callable[..., str]) -> str:
    """Return the yaml file of a run whose values refer to others, to the environment and to the training set."""
    return tiny(
        {
            "name": "run_${vars.k}",
            "vars": {"k": 1, "net": "components.MLP", "width": "${env:NUMBER}", "brace": "$${k}"},
            "model": {
                "net": {
                    "type": "tests.${vars.net}",
                    "in_features": 64,
                    "num_classes": "${data.num_classes}",
                    "hidden": "${vars.width}",
                },
                "metric": {"accuracy": {"num_classes": "${model.net.num_classes}"}},
            },
            "data": {"train": {"type": f"{__name__}.Counted", "count": 10}, "data_dir": "here"},
        }
    )


def test_run_keeps_its_values_when_the_environment_and_the_training_set_change(
    cli: Cli, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """config.yaml and checkpoints contain values, so that neither a resume nor a test depends on anything else."""
    assert cli("fit", "--config", config, "--vars.k", "3", "--model.net.dropout", "0.5").code == 0
    run = tmp_path / "experiments/run_3"
    text = (run / "config.yaml").read_text()
    tree = yaml.safe_load(text)
    assert tree["vars"] == {"k": 3, "net": "components.MLP", "width": 5, "brace": "$${k}"}
    assert tree["model"]["net"] | {"num_classes": 10, "hidden": 5} == tree["model"]["net"]
    assert tree["model"]["metric"]["accuracy"]["num_classes"] == 10
    assert build_config(parse_untyped(text, "")).plain_values["vars"].value["brace"] == "${k}"
    assert hyper_parameters(build_config(parse_untyped(text, "")))["vars.k"] == 3

    monkeypatch.setenv("NUMBER", "6")
    monkeypatch.setattr(f"{__name__}.Counted.num_classes", 11)
    ran = cli("fit", "--config", config, "--vars.k", "3", "--resume", "auto", "--trainer.max_epochs", "2")
    assert ran.code == 0
    assert "model.net.num_classes is 11, was 10; model.net.hidden is 6, was 5" in ran.err
    resumed = yaml.safe_load((run / "config.resume1.yaml").read_text())
    assert (resumed["model"], resumed["vars"]) == (tree["model"], tree["vars"])
    assert cli("fit", "--config", run / "config.yaml", "--print_config").out == text

    assert cli("test", "--ckpt_path", run).code == 0
    ran = cli("test", "--ckpt_path", run, "--data.batch_size", "${model.net.hidden}", "--print_config")
    assert "batch_size: 5  # ${model.net.hidden}\n" in ran.out
    ran = cli("test", "--ckpt_path", run, "--config", config, "--vars.k", "4", "--print_config")
    assert "    dropout: 0.5\n" in ran.out  # the type is that of the checkpoint, so it keeps its arguments
    assert "    hidden: 6  # ${vars.width}\n" in ran.out
    for argv, what in ((["test", "--ckpt_path"], "test"), (["fit", "--resume"], "--resume")):
        ran = cli(*argv, run, "--vars.k", "4")
        assert (ran.code, ran.err.splitlines()[-1]) == (
            2,
            f"error: {what} cannot change vars: the saved config contains the values that referred to it; "
            "set these instead",
        )


@pytest.mark.parametrize(
    ("train", "name", "location"),
    [("Counted", "broken", "data.broken"), ("Unbuilt", "num_classes", "data.train, while it was built")],
)
def test_error_in_the_code_of_the_training_set_has_a_traceback(
    train: str, name: str, location: str, cli: Cli, tiny: Callable[..., str]
) -> None:
    over = {"model": {"net": {"hidden": f"${{data.{name}}}"}}, "data": {"train": {"type": f"{__name__}.{train}"}}}
    ran = cli("fit", "--config", tiny(over))
    assert ran.code == 1
    assert f"raised in {location}\n" in ran.err
    assert "ZeroDivisionError" in ran.err


@pytest.mark.usefixtures("short_names")
def test_help_follows_references_to_types(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"vars": {"net": "MLP"}, "model": {"net": {"type": "${vars.net}", "num_classes": "${data.n}"}}})
    assert "--model.net.hidden" in cli("fit", "--config", config, "--model.net.help", "MLP").out
    ran = cli("fit", "--config", config, "--model.net.hidden.help")
    assert ran.err == "error: model.net.hidden is a plain setting, not a component\n"

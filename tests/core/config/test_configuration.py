"""The configuration of a run: defaults, merging of files and options, and the whole that is written back."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml

from project import load
from project.core.config.annotations import parameters_of
from project.core.config.configuration import ROOT_TYPES, build_config, root_parameters
from project.core.config.settings import (
    CheckpointSettings,
    DigestSettings,
    EvaluationSettings,
    ProgressSettings,
    Settings,
)
from project.core.config.yaml_files import Tree, parse_yaml
from project.core.data.datamodule import DataModule
from project.core.model.module import SupervisedModule
from project.core.model.optimization import Clip
from tests.conftest import CONFIGS, TINY, Cli


def printed(cli: Cli, *argv: str) -> Tree:
    """Return the configuration that `--print_config` prints."""
    ran = cli(*argv, "--print_config")
    assert ran.code == 0, ran.err
    tree: Tree = parse_yaml(ran.out, "printed")
    return tree


def test_default_yaml_lists_each_setting_with_its_default_and_a_comment() -> None:
    text = (CONFIGS / "default.yaml").read_text()
    listed = parse_yaml(text, "default.yaml")
    groups: dict[str, dict[str, Any]] = {"": listed} | {key: listed[key] for key in ("model", "data", "trainer")}
    classes: dict[str, Any] = {"model": SupervisedModule, "data": DataModule, "trainer": pl.Trainer}
    for key, cls in classes.items():
        for name, parameter in parameters_of(cls).items():
            if (key, name) == ("data", "seed"):
                continue
            assert re.search(rf"^  (# )?{name}:", text, re.M), f"{key}.{name} is missing"
            if name in groups[key]:
                assert groups[key][name] == parameter.default, f"{key}.{name}"
        assert not groups[key].keys() - parameters_of(cls).keys() - {"type"}
    assert set(root_parameters()) - {"name"} == listed.keys()
    assert listed["progress"] == vars(ProgressSettings())
    assert listed["checkpoint"] == vars(CheckpointSettings())
    assert listed["digests"] == vars(DigestSettings())
    assert {name for name in vars(Clip()) if f"#   {name}: " in text} == vars(Clip()).keys()
    settings = [line for line in text.splitlines() if re.match(r"\s*[a-z_]+:", line)]
    assert [line for line in settings if " # " not in line] == ["model:", "data:"]


@pytest.mark.usefixtures("short_names")
def test_printed_config_is_complete_and_gives_the_same_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(
        {
            "model": {
                "loss": {"aux": {"type": "cross_entropy", "weight": 0.5, "inputs": {"logits": "logits"}}},
                "scheduler": {"type": "WarmupCosine", "warmup": 1},
                "groups": [{"match": "net.head.*", "lr": 0.1}],
            },
            "data": {
                "val": {
                    "type": None,
                    "one": {"type": "Glyphs", "split": "val"},
                    "two": {"type": "Glyphs", "split": "test"},
                }
            },
            "visual": {"type": "Row"},
            "trainer": {
                "callbacks": [{"type": "EarlyStopping", "monitor": "val/one/sum"}],
                "logger": [{"type": "CSVLogger"}],
            },
            "checkpoint": {"monitor": "val/one/sum"},
        }
    )
    first = cli("fit", "--config", config, "--print_config")
    (tmp_path / "again.yaml").write_text(first.out)
    assert cli("fit", "--config", "again.yaml", "--print_config").out == first.out
    tree = yaml.safe_load(first.out)
    assert tree["model"]["net"] == {
        "type": "MLP", "in_features": 64, "num_classes": 10, "hidden": 8, "dropout": 0.0,
        "inputs": None, "output": None,
    }  # fmt: skip
    assert tree["model"]["loss"]["aux"]["type"] == "CrossEntropy"
    assert "type" not in tree["model"]["loss"]["cross_entropy"]
    assert tree["data"]["val"]["two"]["split"] == "test"
    assert tree["trainer"]["logger"][0]["type"] == "CSVLogger"
    assert "save_dir" not in tree["trainer"]["logger"][0]  # it is the run directory, which depends on the name

    assert cli("fit", "--config", config).code == 0
    assert cli("fit", "--config", "again.yaml", "--name", "again").code == 0
    one, two = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "again"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_entry_that_is_null_is_left_out_with_a_message(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"model": {"metric": {"accuracy": None}}}), "--print_config")
    assert "model.metric.accuracy is null and is left out; `accuracy: {}` would take its defaults" in ran.err
    assert yaml.safe_load(ran.out)["model"]["metric"] == {}


def test_type_that_is_null_replaces_a_single_entry_without_a_message(cli: Cli, tiny: Callable[..., str]) -> None:
    """It is how several datasets replace the single one of the base; they need no `type` beside them."""
    several = "{type: null, one: {type: tests.components.Glyphs, split: val}}"
    ran = cli("fit", "--config", tiny({}), "--data.val", several, "--print_config")
    assert (ran.err, [*yaml.safe_load(ran.out)["data"]["val"]]) == ("", ["one"])


@pytest.mark.usefixtures("short_names")
def test_options_override_settings_at_any_depth(cli: Cli, tiny: Callable[..., str]) -> None:
    tree = printed(
        cli, "fit", "--config", tiny(), "--seed=7", "--name", "007", "--model.loss.cross_entropy.weight", "2",
        "--model.loss.cross_entropy.label_smoothing", "1e-1", "--model.loss.l1.type", "L1Loss",
        "--data.train.augmentation.random_shift.pixels", "2", "--model.optimizer.betas", "[0.8, 0.9]",
        "--model.clip.value", "0.5", "--data.val", "null", "--trainer.max_time", "00:01:00:00",
    )  # fmt: skip
    assert (tree["seed"], tree["name"]) == (7, "007")
    assert tree["model"]["loss"]["cross_entropy"] == {"label_smoothing": 0.1, "weight": 2.0, "inputs": None}
    assert tree["model"]["loss"]["l1"]["type"] == "L1Loss"
    assert tree["data"]["train"]["augmentation"] == {"random_shift": {"pixels": 2, "keys": ["image"]}}
    assert tree["model"]["optimizer"]["betas"] == [0.8, 0.9]
    assert tree["model"]["clip"]["value"] == 0.5
    assert tree["data"]["val"] is None
    assert tree["trainer"]["max_time"] == "00:01:00:00"


def test_another_type_removes_the_old_arguments(cli: Cli, tiny: Callable[..., str]) -> None:
    argv = ["fit", "--config", tiny(), "--model.net.width", "4", "--model.net.num_classes=10"]
    net = printed(cli, *argv, "--model.net", "tests.datasets.points.PointNet")["model"]["net"]
    assert net["type"] == "tests.datasets.points.PointNet"
    assert net["width"] == 4
    assert "hidden" not in net
    optimizer = printed(cli, "fit", "--config", tiny(), "--model.optimizer", "SGD")["model"]["optimizer"]
    assert (optimizer["type"], optimizer["lr"]) == ("SGD", 0.001)


def test_null_removes_entries(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text(
        "model: {loss: {cross_entropy: null, margin: {type: torch.nn.MultiMarginLoss}}, metric: null}\n"
    )
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml")
    assert list(tree["model"]["loss"]) == ["margin"]
    assert tree["model"]["metric"] is None


def test_files_are_merged_in_order_and_then_options(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("seed: 2\nmodel: {net: {hidden: 16}}\ntrainer: {max_epochs: 5}\n")
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml", "--trainer.max_epochs", "6")
    assert (tree["seed"], tree["model"]["net"]["hidden"], tree["trainer"]["max_epochs"]) == (2, 16, 6)
    assert tree["model"]["net"]["num_classes"] == 10


def test_evaluation_merges_the_saved_config_then_files_then_options(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny({"seed": 3, "data": {"batch_size": 32}})).code == 0
    (tmp_path / "over.yaml").write_text("data: {batch_size: 16, num_workers: 0}\n")
    saved = printed(cli, "test", "--ckpt_path", "experiments/tiny")
    assert (saved["seed"], saved["data"]["batch_size"]) == (3, 32)
    files = printed(cli, "test", "--ckpt_path", "experiments/tiny", "--config", "over.yaml")
    assert (files["seed"], files["data"]["batch_size"]) == (3, 16)
    line = printed(cli, "test", "--ckpt_path", "experiments/tiny", "--config", "over.yaml", "--data.batch_size", "8")
    assert (line["seed"], line["data"]["batch_size"]) == (3, 8)


def test_group_that_is_null_has_its_defaults(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("progress:\ncheckpoint:\n")
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml")
    assert tree["progress"] == vars(ProgressSettings())
    assert tree["checkpoint"] == vars(CheckpointSettings())


def test_arguments_given_by_the_engine_are_not_printed(cli: Cli, tiny: Callable[..., str]) -> None:
    tree = printed(
        cli, "fit", "--config", tiny(), "--seed", "7", "--data.data_dir", "d", "--trainer.logger", "[CSVLogger]"
    )
    assert tree["seed"] == 7
    assert "seed" not in tree["data"]
    assert "save_dir" not in tree["trainer"]["logger"][0]


def test_data_dir_reaches_all_datasets_and_can_be_moved(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    filed = {"type": "tests.core.components.Filed"}
    config = tiny({"data": {"train": filed, "val": filed, "eval": filed, "data_dir": "here", "batch_size": 2}})
    assert printed(cli, "fit", "--config", config)["data"]["train"] == filed
    assert cli("fit", "--config", config).code == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert cli("test", "--ckpt_path", "experiments/tiny").err.endswith("error: data.eval: no pictures in here\n")
    assert cli("test", "--ckpt_path", "experiments/tiny", "--data.data_dir", "there").code == 0


@pytest.mark.usefixtures("short_names")
def test_module_and_data_module_without_arguments(cli: Cli, tiny: Callable[..., str]) -> None:
    """Their constructors have no settings to print."""
    module, data = (f"tests.core.config.test_configuration.{name}" for name in ("BareModule", "BareData"))
    tree = printed(cli, "fit", "--config", tiny(), "--model", module, "--data", data)
    assert (tree["model"], tree["data"]) == ({"type": module}, {"type": data})


class BareModule(pl.LightningModule):
    """Module whose constructor has no arguments."""


class BareData(pl.LightningDataModule):
    """Data module whose constructor has no arguments."""


def test_print_config_builds_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """It works where the run exists already, and where the data are missing."""
    over = {"data": {"train": {"type": "tests.core.components.Filed"}, "data_dir": "nowhere"}}
    (tmp_path / "experiments/tiny/checkpoints").mkdir(parents=True)
    (tmp_path / "experiments/tiny/checkpoints/last.ckpt").write_text("")
    ran = cli("fit", "--config", tiny(over), "--print_config")
    assert (ran.code, ran.err) == (0, "")
    assert parse_yaml(ran.out, "printed")["data"]["data_dir"] == "nowhere"


def tiny_tree(**over: Any) -> Tree:
    """Return the tree of a tiny run."""
    return {key: value for key, value in TINY.items() if key != "base"} | over


def test_build_config_finds_classes_and_plain_values() -> None:
    config = build_config(tiny_tree(seed=3))
    assert (config.model_class, config.data_class) == (SupervisedModule, DataModule)
    values = {path: value.value for path, value in config.plain_values.items()}
    assert (values["seed"], values["model.optimizer.lr"], values["model.optimizer.type"]) == (3, 0.01, "AdamW")
    assert values["model.type"] == "SupervisedModule"
    net = config.values["model"]["net"]["net"]
    assert net == {
        "class_path": "tests.components.MLP",
        "init_args": {"in_features": 64, "num_classes": 10, "hidden": 8},
    }


def test_argument_beside_class_path_is_used(cli: Cli, tiny: Callable[..., str]) -> None:
    """In jsonargparse's form, and a `class_path` replaces the base's `type` with its arguments, and the reverse."""
    own = {"class_path": "tests.components.MLP", "init_args": {"in_features": 64, "num_classes": 10}, "hidden": 3}
    config = tiny({"model": {"net": own}})
    assert printed(cli, "fit", "--config", config)["model"]["net"]["hidden"] == 3
    net = ("--model.net.type", "torch.nn.Flatten")
    assert printed(cli, "fit", "--config", config, *net)["model"]["net"]["type"] == "Flatten"


def test_functions_in_a_list_are_written_as_they_were_given(cli: Cli, tiny: Callable[..., str]) -> None:
    """`jsonargparse` writes `Unable to serialize instance` in their place, which would not repeat the run."""
    given = {"type": "LambdaLR", "lr_lambda": ["math.sqrt"]}
    ran = cli("fit", "--config", tiny({"model": {"scheduler": given}}), "--print_config")
    assert (ran.code, ran.err) == (0, "")
    assert parse_yaml(ran.out, "printed")["model"]["scheduler"]["lr_lambda"] == ["math.sqrt"]


def test_root_parameters_are_the_settings_and_what_is_built() -> None:
    assert set(root_parameters()) == set(Settings.__dataclass_fields__) | {*ROOT_TYPES, "trainer"}
    assert [name for name, parameter in root_parameters().items() if parameter.required] == ["name", "model", "data"]


def test_evaluation_is_due_at_the_end_of_every_nth_epoch() -> None:
    assert [epoch for epoch in range(6) if EvaluationSettings(every_n_epochs=2).is_due(epoch)] == [1, 3, 5]
    assert not any(EvaluationSettings(at_start=True).is_due(epoch) for epoch in range(6))
    active = [EvaluationSettings(every_n_epochs=2), EvaluationSettings(at_start=True)]
    assert [each.is_active for each in [*active, EvaluationSettings()]] == [True, True, False]


def test_names_that_look_like_other_types_are_names(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Of losses, metrics, datasets and transforms; the printed config gives them back."""
    (tmp_path / "own.yaml").write_text(
        f"base: {tiny()}\n"
        "model: {loss: {1: {type: tests.components.CrossEntropy}}, "
        "metric: {yes: {type: tests.components.Accuracy, num_classes: 10}}}\n"
        "data:\n"
        "  train: {augmentation: {1.5: {type: tests.components.RandomShift}}}\n"
        "  eval: {type: null, null: {type: tests.components.Glyphs, split: test}}\n"
    )
    tree = printed(cli, "fit", "--config", "own.yaml")
    assert [*tree["model"]["loss"]] == ["cross_entropy", "1"]
    assert [*tree["model"]["metric"]] == ["accuracy", "yes"]
    assert [*tree["data"]["train"]["augmentation"]] == ["1.5"]
    assert [*tree["data"]["eval"]] == ["null"]
    (tmp_path / "printed.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    assert printed(cli, "fit", "--config", "printed.yaml") == tree

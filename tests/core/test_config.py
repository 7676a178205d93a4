import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml

from project import load
from project.core.annotations import parameters_of
from project.core.config import root_parameters
from project.core.datamodule import DataModule
from project.core.module import SupervisedModule
from project.core.optimization import Clip
from project.core.settings import Checkpoint, Progress
from project.core.yaml_files import parse_yaml
from tests.conftest import CONFIGS, Cli


def printed(cli: Cli, *argv: str) -> dict[str, Any]:
    ran = cli(*argv, "--print_config")
    assert ran.code == 0, ran.err
    tree: dict[str, Any] = parse_yaml(ran.out, "printed")
    return tree


def test_default_yaml_lists_every_setting_with_its_default_and_a_comment() -> None:
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
    assert listed["progress"] == vars(Progress())
    assert listed["checkpoint"] == vars(Checkpoint())
    assert {name for name in vars(Clip()) if f"#   {name}: " in text} == vars(Clip()).keys()
    settings = [line for line in text.splitlines() if re.match(r"\s*[a-z_]+:", line)]
    assert [line for line in settings if " # " not in line] == ["model:", "data:"]


@pytest.mark.usefixtures("short_names")
def test_printed_config_is_the_whole_and_gives_the_same_again(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
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
    assert "save_dir" not in tree["trainer"]["logger"][0]  # it is the run's folder, whatever its name will be

    assert cli("fit", "--config", config).code == 0
    assert cli("fit", "--config", "again.yaml", "--name", "again").code == 0
    one, two = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "again"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_is_null_is_left_out_and_said(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"model": {"metric": {"accuracy": None}}}), "--print_config")
    assert "model.metric.accuracy is null and left out; `accuracy: {}` would have its defaults" in ran.err
    assert yaml.safe_load(ran.out)["model"]["metric"] == {}


@pytest.mark.usefixtures("short_names")
def test_overrides_at_every_level(cli: Cli, tiny: Callable[..., str]) -> None:
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


def test_another_type_drops_the_old_arguments(cli: Cli, tiny: Callable[..., str]) -> None:
    argv = [
        "fit",
        "--config",
        tiny(),
        "--model.net.width",
        "4",
        "--model.net.num_classes=10",
    ]
    net = printed(cli, *argv, "--model.net", "tests.datasets.points.PointNet")["model"]["net"]
    assert net["type"] == "tests.datasets.points.PointNet"
    assert net["width"] == 4
    assert "hidden" not in net
    optimizer = printed(cli, "fit", "--config", tiny(), "--model.optimizer", "SGD")["model"]["optimizer"]
    assert (optimizer["type"], optimizer["lr"]) == ("SGD", 0.001)


def test_null_takes_an_entry_out(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text(
        "model: {loss: {cross_entropy: null, margin: {type: torch.nn.MultiMarginLoss}}, metric: null}\n"
    )
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml")
    assert list(tree["model"]["loss"]) == ["margin"]
    assert tree["model"]["metric"] is None


def test_files_then_command_line(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("seed: 2\nmodel: {net: {hidden: 16}}\ntrainer: {max_epochs: 5}\n")
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml", "--trainer.max_epochs", "6")
    assert (tree["seed"], tree["model"]["net"]["hidden"], tree["trainer"]["max_epochs"]) == (2, 16, 6)
    assert tree["model"]["net"]["num_classes"] == 10


def test_saved_then_files_then_command_line(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny({"seed": 3, "data": {"batch_size": 32}})).code == 0
    (tmp_path / "over.yaml").write_text("data: {batch_size: 16, num_workers: 0}\n")
    saved = printed(cli, "test", "--ckpt_path", "experiments/tiny")
    assert (saved["seed"], saved["data"]["batch_size"]) == (3, 32)
    files = printed(cli, "test", "--ckpt_path", "experiments/tiny", "--config", "over.yaml")
    assert (files["seed"], files["data"]["batch_size"]) == (3, 16)
    line = printed(cli, "test", "--ckpt_path", "experiments/tiny", "--config", "over.yaml", "--data.batch_size", "8")
    assert (line["seed"], line["data"]["batch_size"]) == (3, 8)


def test_a_group_with_nothing_below_it(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text("progress:\ncheckpoint:\n")
    tree = printed(cli, "fit", "--config", tiny(), "--config", "over.yaml")
    assert tree["progress"] == vars(Progress())
    assert tree["checkpoint"] == vars(Checkpoint())


def test_what_the_engine_gives_is_not_printed(cli: Cli, tiny: Callable[..., str]) -> None:
    tree = printed(
        cli, "fit", "--config", tiny(), "--seed", "7", "--data.data_dir", "d", "--trainer.logger", "[CSVLogger]"
    )
    assert tree["seed"] == 7
    assert "seed" not in tree["data"]
    assert "save_dir" not in tree["trainer"]["logger"][0]


def test_data_dir_reaches_every_dataset_and_can_be_moved(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    filed = {"type": "tests.core.rooms.Filed"}
    config = tiny({"data": {"train": filed, "val": filed, "eval": filed, "data_dir": "here", "batch_size": 2}})
    assert printed(cli, "fit", "--config", config)["data"]["train"] == filed
    assert cli("fit", "--config", config).code == 0
    (tmp_path / "here").rename(tmp_path / "there")
    assert cli("test", "--ckpt_path", "experiments/tiny").err.endswith("error: data.eval: no pictures in here\n")
    assert cli("test", "--ckpt_path", "experiments/tiny", "--data.data_dir", "there").code == 0

"""The configuration of a run: a yaml tree, checked, typed, and put into the form that LightningCLI builds from."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from project.core.annotations import Parameter, Parameters, alternatives, choices, parameters_of, words
from project.core.datamodule import DATA_DIR
from project.core.errors import ConfigError, did_you_mean
from project.core.settings import ROOT, Settings
from project.core.slots import Leaf, Slots, check_names
from project.core.yaml_files import Tree, dump_yaml
from project.registry import Dataset

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast; what was dumped has no mistakes
_NO_WORDS = "Unable to serialize instance"
BUILT: dict[str, Any] = {"model": pl.LightningModule, "data": pl.LightningDataModule}


@dataclass
class Config:
    """A tree whose names were checked.

    Args:
        values: what the parser takes.
        model_class: behind `model.type`.
        data_class: behind `data.type`.
        leaves: the plain values.
    """

    values: Tree
    model_class: type[pl.LightningModule]
    data_class: type[pl.LightningDataModule]
    leaves: list[Leaf]

    def parse(self, parser: ArgumentParser, values: Tree) -> Namespace:
        """The values, typed.

        Raises:
            ConfigError: a value of the wrong type.
        """
        try:
            namespace: Namespace = parser.parse_object(values)
            return namespace
        except (ArgumentError, TypeError, ValueError) as error:
            raise self._explain(error) from error

    def text(self, parser: ArgumentParser, namespace: Namespace) -> str:
        """The whole configuration, defaults included, as yaml that gives the same run."""
        dumped = parser.dump(namespace, skip_unset=False, format="yaml", skip_validation=True)
        tree = _written(yaml.load(dumped, _LOADER))
        slots = Slots(_fills(tree))
        for key, cls in (("model", self.model_class), ("data", self.data_class)):
            tree[key] = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": tree[key]}
        return dump_yaml(
            {key: slots.collapse(tree[key], parameter.annotation) for key, parameter in root_parameters().items()}
        )

    def _explain(self, error: Exception) -> ConfigError:
        """What is wrong in the yaml, where jsonargparse refused it."""
        for leaf in self.leaves:
            if leaf.value is None and type(None) not in alternatives(leaf.annotation):
                return ConfigError(f"{leaf.path} is null; it takes {words(leaf.annotation)}")
            if not _fits(leaf):
                near = did_you_mean(str(leaf.value), choices(leaf.annotation))
                return ConfigError(f"{leaf.path} is {leaf.value!r}; it takes {words(leaf.annotation)}{near}")
        return ConfigError(str(error).strip().splitlines()[0])


def build_config(tree: Tree) -> Config:
    """Checks the names of a tree and finds the classes behind them.

    Raises:
        ConfigError: an unknown type or name, or a missing one.
    """
    parameters = root_parameters()
    check_names(tree, parameters, "")
    slots = Slots(_fills(tree))
    values = slots.arguments(tree, parameters, "")
    _refuse_what_the_engine_does(values.get("trainer", {}))
    classes: dict[str, Any] = {}
    for key in BUILT:
        module, _, name = values[key]["class_path"].rpartition(".")
        classes[key] = getattr(import_module(module), name)
        values[key] = values[key]["init_args"]
    return Config(values, classes["model"], classes["data"], slots.leaves)


def root_parameters() -> Parameters:
    """The keys at the top of a yaml."""
    built = {key: Parameter(annotation, required=True) for key, annotation in BUILT.items()}
    return parameters_of(Settings) | built | {"trainer": Parameter(pl.Trainer, required=False)}


def _written(value: Any) -> Any:
    """The tree without the defaults that jsonargparse has no words for, such as a torch.device."""
    if isinstance(value, list):
        return [_written(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _written(item) for key, item in value.items() if not str(item).startswith(_NO_WORDS)}


def _fills(tree: Tree) -> dict[type, Tree]:
    """What the engine gives to classes that have an argument for it; the text of a config leaves it out."""
    data = tree["data"] if isinstance(tree.get("data"), dict) else {}
    return {
        Dataset: {"data_dir": data.get("data_dir", DATA_DIR)},
        pl.LightningDataModule: {"seed": tree.get("seed", 0)},
        pl.loggers.Logger: {"save_dir": f"{tree.get('root', ROOT)}/{tree['name']}"},
    }


def _refuse_what_the_engine_does(trainer: Tree) -> None:
    for key in ("gradient_clip_val", "gradient_clip_algorithm"):
        if trainer.get(key) is not None:
            raise ConfigError(f"trainer.{key} is not used here: say model.clip: {{value: ..., algorithm: norm}}")
    if trainer.get("accumulate_grad_batches") == 0:
        raise ConfigError("trainer.accumulate_grad_batches is 0; it must be at least 1")
    if trainer.get("barebones"):
        raise ConfigError("trainer.barebones is not used here: it forbids logs and checkpoints")


def _fits(leaf: Leaf) -> bool:
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--value", type=leaf.annotation)
        parser.parse_object({"value": leaf.value})
    except (ArgumentError, TypeError):
        return False
    except ValueError:
        return True  # an annotation that jsonargparse knows only in its place
    return True

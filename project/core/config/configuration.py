"""The configuration of a run: a tree of settings, checked and typed, in the form that LightningCLI builds from."""

import inspect
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, get_loader, set_dumper, set_loader

from project.core.config.annotations import (
    Parameter,
    Parameters,
    choices,
    describe_type,
    parameters_of,
)
from project.core.config.construction import Component
from project.core.config.entries import EntryConverter, PlainValue
from project.core.config.entry_checks import INIT, check_names, join_path
from project.core.config.other_tools import see_page
from project.core.config.reference_texts import escape
from project.core.config.references import BuildTrainingSet, ReferenceResolver
from project.core.config.settings import DEFAULT_DATA_DIR, DEFAULT_ROOT, Settings
from project.core.config.values import is_accepted
from project.core.config.yaml_files import Tree, dump_yaml
from project.core.errors import ConfigError, did_you_mean, join_names, show_value
from project.registry import Dataset

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # fast
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # fast; dumped text needs no check for duplicate keys
# Matched: lines in the messages of jsonargparse that do not tell what is wrong with a value.
_NOT_REASONS = (
    "Parser key",
    "Problem with given class_path",
    "Does not validate against any of the Union",
    "Subtypes:",
    "Errors:",
    "Given value",
)
_NOT_DUMPED = "Unable to serialize instance"  # matched: jsonargparse writes it in place of a value
_DUMPED_AS_TEXT = "Dump of a value that does not round-trip: a KeptText"  # matched; it is read as a text again
_TIMES = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
PARSER_MODE = "yaml_with_quotes"  # of jsonargparse's parsers
Group = TypeVar("Group")
ROOT_TYPES: dict[str, Any] = {"model": pl.LightningModule, "data": pl.LightningDataModule}


class _QuotingDumper(_DUMPER):  # type: ignore[misc]
    """Dumper that quotes all texts: jsonargparse reads what it dumped of a component, and 1e3 as a number."""


_QuotingDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
set_loader(PARSER_MODE, get_loader("yaml"), (yaml.YAMLError,))
set_dumper(PARSER_MODE, lambda tree: yaml.dump(tree, Dumper=_QuotingDumper, sort_keys=False, allow_unicode=True))


@dataclass
class Config:
    """A configuration whose names were checked.

    Args:
        values: the tree as jsonargparse takes it.
        model_class: class of `model.type`.
        data_class: class of `data.type`.
        plain_values: values that are not entries, by config path.
        components: the components.
        tree: the tree of which it was built, without references.
        references: texts with references that gave values of the tree, by config path.
        given: the merged tree of yaml files and options, with references.
    """

    values: Tree
    model_class: type[pl.LightningModule]
    data_class: type[pl.LightningDataModule]
    plain_values: dict[str, PlainValue]
    components: list[Component]
    tree: Tree = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    given: Tree = field(default_factory=dict)

    @property
    def refers_to_constants(self) -> bool:
        """Whether a value refers to one of `vars`; in a saved configuration, none does."""
        return any("${vars." in text for text in self.references.values())

    def parse(self, parser: ArgumentParser, values: Tree) -> Namespace:
        """Return values with the types that a parser's arguments ask for.

        Raises:
            ConfigError: a value has a wrong type.
        """
        try:
            defaults = parser.get_defaults()
            for key in ROOT_TYPES:
                defaults.pop(key, None)
            # Without the defaults of constructors, which have them already: see defaults.py.
            namespace: Namespace = parser.parse_object(values, defaults, defaults=False)
            return namespace
        except Exception as error:  # jsonargparse calls the constructors of types such as Decimal
            raise self._explain(error) from error

    def to_yaml(self, parser: ArgumentParser, namespace: Namespace) -> str:
        """Return the whole configuration, including defaults, as yaml that gives the same run."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", rf"\s*({_NOT_DUMPED}|{_DUMPED_AS_TEXT})")
            dumped = parser.dump(namespace, skip_unset=False, skip_validation=True)
        tree = yaml.load(dumped, _LOADER)
        converter = EntryConverter(engine_arguments(tree))
        for key, cls in (("model", self.model_class), ("data", self.data_class)):
            tree[key] = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": tree.get(key) or {}}
        parameters = root_parameters().items()
        short = {key: converter.collapse(tree[key], parameter.annotation) for key, parameter in parameters}
        if "vars" in self.plain_values:
            short["vars"] = self.plain_values["vars"].value
        return dump_yaml(escape(self._restore_given(short, "")))

    def _restore_given(self, value: Any, path: str) -> Any:
        """Return a value with what the yaml gave where jsonargparse dumped nothing, such as for a list of functions."""
        parent, _, key = path.rpartition(".")
        given = self.plain_values.get(path, self.plain_values.get(join_path(join_path(parent, INIT), key)))
        if given is not None:
            return given.value if _NOT_DUMPED in str(value) else value
        if isinstance(value, dict):
            return {key: self._restore_given(item, join_path(path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._restore_given(item, join_path(path, number)) for number, item in enumerate(value)]
        return value

    def _explain(self, error: Exception) -> ConfigError:
        """Return an error that says what is wrong in the yaml, given the error of jsonargparse."""
        wrong = _first_of_wrong_type(self.plain_values.values())
        if wrong is not None:
            return wrong_value(wrong, self.references)
        text = str(error)
        keys, names = re.findall(r'Parser key "([^"]+)"', text), re.findall(r"class_path '([^']+)'", text)
        name = names[-1].rpartition(".")[2] if names else ""
        path = next((each.path for each in self.components if each.cls.__name__ == name), "")
        where = f"{join_path(path, keys[-1])} ({name})" if path else ".".join(keys)
        reasons = [line.strip(" -") for line in text.splitlines() if not line.lstrip(" -").startswith(_NOT_REASONS)]
        return ConfigError(": ".join(filter(None, [where, "; ".join(dict.fromkeys(reasons))])))


def wrong_value(value: PlainValue, references: Mapping[str, str] | None = None) -> ConfigError:
    """Return the error of a value that its config path does not accept.

    Args:
        value: the value.
        references: texts with references that gave values, by config path.
    """
    given = f" (from {references[value.path]})" if references and value.path in references else ""
    near = did_you_mean(str(value.value), choices(value.annotation))
    return ConfigError(
        f"{value.path} is {show_value(value.value)}{given}; it takes {describe_type(value.annotation)}{near}"
    )


def build_config(tree: Tree, build_training_set: BuildTrainingSet | None = None) -> Config:
    """Resolve the references in a tree, check its names, and find the classes that they mean.

    Args:
        tree: the merged tree.
        build_training_set: builds the training set, if a reference needs it; None if no person wrote the tree.

    Raises:
        ConfigError: a reference, type or name is unknown or missing.
    """
    resolver = ReferenceResolver(tree, build_training_set)
    given, tree = tree, resolver.resolve()
    parameters = root_parameters()
    check_names(tree, parameters, "")
    converter = EntryConverter(engine_arguments(tree))
    values = converter.expand_arguments(tree, parameters, "")
    values.pop("vars", None)  # in which jsonargparse would read texts such as "12:30" as numbers
    _check_trainer(values.get("trainer", {}))
    classes: dict[str, Any] = {}
    for key in ROOT_TYPES:
        module, _, name = values[key]["class_path"].rpartition(".")
        classes[key] = getattr(import_module(module), name)
        values[key] = values[key]["init_args"]
    plain_values = {value.path: value for value in converter.plain_values}
    for value in plain_values.values():
        if not value.is_default and not is_accepted(value.value, value.annotation):
            raise wrong_value(value, resolver.texts)
    components = converter.components
    return Config(values, classes["model"], classes["data"], plain_values, components, tree, resolver.texts, given)


def build_group(values: Tree, group: type[Group], path: str) -> Group:
    """Return a group of settings that is not in the yaml, such as that of `--finetune`.

    Args:
        values: the settings.
        group: a dataclass.
        path: name of the option, for messages.

    Raises:
        ConfigError: a name is unknown or missing, or a value has a wrong type.
    """
    converter = EntryConverter()
    arguments = converter.expand(values, group, path)
    wrong = next((each for each in converter.plain_values if not is_accepted(each.value, each.annotation)), None)
    if wrong := wrong or _first_of_wrong_type(converter.plain_values):
        raise wrong_value(wrong)
    return group(**arguments)


def root_parameters() -> Parameters:
    """Return the keys at the top of a yaml."""
    built = {key: Parameter(annotation, required=True) for key, annotation in ROOT_TYPES.items()}
    return parameters_of(Settings) | built | {"trainer": Parameter(pl.Trainer, required=False)}


def engine_arguments(tree: Tree) -> Mapping[type, Mapping[str, Any]]:
    """Return the arguments that the engine gives to classes that have them, by base class; config.yaml omits them."""
    data = tree["data"] if isinstance(tree.get("data"), dict) else {}
    run_directory = f"{tree.get('root', DEFAULT_ROOT)}/{tree['name']}"
    return {
        Dataset: {"data_dir": data.get("data_dir", DEFAULT_DATA_DIR)},
        pl.LightningDataModule: {"seed": tree.get("seed", 0)},
        pl.loggers.Logger: {"save_dir": run_directory},
        pl.Callback: {"run_directory": run_directory},
    }


def _check_trainer(trainer: Tree) -> None:
    page = see_page("lightning_cli")
    for key in ("gradient_clip_val", "gradient_clip_algorithm"):
        if trainer.get(key) is not None:
            raise ConfigError(
                f"trainer.{key} is not used here; set model.clip: {{value: ..., algorithm: norm}}\n{page}"
            )
    for key in ("max_time", "val_check_interval"):
        if isinstance(trainer.get(key), dict) and (wrong := sorted({*trainer[key]} - {*_TIMES})):
            raise ConfigError(f"trainer.{key} has no setting '{wrong[0]}'\nknown: {join_names(_TIMES)}")
    if trainer.get("barebones"):
        raise ConfigError("trainer.barebones is not used here: it forbids logs and checkpoints")


def _first_of_wrong_type(values: Iterable[PlainValue]) -> PlainValue | None:
    parser = ArgumentParser(exit_on_error=False)
    for number, value in enumerate(values):
        if value.annotation is inspect.Parameter.empty or value.is_default:
            continue  # any value is right
        try:
            parser.add_argument(f"--value{number}", type=value.annotation)
            parser.parse_object({f"value{number}": value.value}, defaults=False)
        except (ArgumentError, TypeError, ArithmeticError, AttributeError, ImportError):
            return value
        except ValueError:  # jsonargparse takes this annotation only in a constructor: look for the error elsewhere
            continue
    return None

"""The folds of a cross-validation: which settings of the experiment select them."""

import re
from collections.abc import Iterator
from typing import Any

from project.core.cli.arguments import merge_order
from project.core.config.reference_texts import ReferringText
from project.core.config.yaml_files import Tree, merge_all, nest
from project.core.errors import ConfigError, normalize

_CONSTANT = re.compile(r"\$\{\s*(vars\.[^\s{}]+)\s*\}")


def fold_settings(experiment: Tree, settings: Tree, count: int, fold: int) -> Tree:
    """Return the settings that select a fold, by config path.

    They are `k` and `fold` of all datasets of type Fold or, where these refer to constants, the constants, so that all
    that refers to them agrees.

    Args:
        experiment: the merged tree of the experiment.
        settings: other settings of the run, by config path, which may contain datasets of type Fold, too.
        count: number of folds.
        fold: the fold.

    Raises:
        ConfigError: no training or validation set is a Fold, or one in a list does not refer to constants.
    """
    trees = [nest(path, settings[path]) for path in sorted(settings, key=merge_order)]
    data = merge_all([experiment, *trees]).get("data")
    datasets = dict(_find_folds(data, "data", ""))
    for split in ("train", "val"):
        if not any(f"{path}.".startswith(f"data.{split}.") for path in datasets):
            raise ConfigError(
                f"sweep.folds needs a dataset of type Fold in data.{split}\n"
                f"Write data.{split}: {{type: Fold, part: {split}, k: {count}, fold: 0, dataset: {{type: ...}}}}"
            )
    return {
        target: value
        for path, entry in datasets.items()
        for key, value in (("k", count), ("fold", fold))
        for target in [_target(path, key, entry)]
    }


def _find_folds(value: Any, path: str, key: str) -> Iterator[tuple[str, Tree]]:
    """Yield the config paths of all entries of type Fold, or of a class of the user's own with its arguments."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find_folds(item, f"{path}.{number}", "")
    if not isinstance(value, dict):
        return
    name = str(value.get("class_path", value.get("type", key))).rpartition(".")[2]
    if normalize(name) == "fold" or {"k", "fold"} <= value.keys():
        yield path, value
    for name, item in value.items():
        yield from _find_folds(item, f"{path}.{name}", str(name))


def _target(path: str, key: str, entry: Tree) -> str:
    """Return the config path of the setting that gives `k` or `fold` of an entry."""
    value = entry.get(key)
    if isinstance(value, ReferringText) and (constant := _CONSTANT.fullmatch(value.strip())):
        return constant[1]
    if any(part.isdecimal() for part in path.split(".")):
        raise ConfigError(
            f"sweep.folds cannot set {path}.{key}, which is in a list\n"
            f"Let it refer to a constant: {key}: ${{vars.{key}}}, with vars: {{{key}: 0}} at the top of the yaml"
        )
    init = ".init_args" if "class_path" in entry and "init_args" in entry else ""
    return f"{path}{init}.{key}"

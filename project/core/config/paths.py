"""`~`, `$VARIABLE` and `${VARIABLE}` in paths of yaml files and options."""

import os
import re
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import PlainScalar, Tree
from project.core.errors import ConfigError

_PATH_KEY = re.compile(r"root|dirpath|(\w+_)?(path|dir)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expand_path(text: str, where: str) -> str:
    """Return a path with the values of `~`, `${VARIABLE}` and, if it is set, `$VARIABLE`, as Lightning's loggers do.

    Args:
        text: the path.
        where: config path or option, for messages.

    Raises:
        ConfigError: the variable of a `${VARIABLE}` is not set, or no user has this name.
    """
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise ConfigError(f"{where} is {text!r}, but the environment variable {name} is not set")
    expanded = os.path.expandvars(text)
    try:
        return str(Path(expanded).expanduser()) if expanded.startswith("~") else expanded
    except RuntimeError as error:
        raise ConfigError(f"{where} is {text!r}, but there is no such user; begin with ./~ for a file") from error


def expand_paths(tree: Tree, where: str = "") -> Tree:
    """Return a tree with expanded paths: the values of `root`, `path`, `dir`, `dirpath`, `*_path` and `*_dir`."""
    return {key: _expand(value, key, f"{where}.{key}" if where else str(key)) for key, value in tree.items()}


def _expand(value: Any, key: object, where: str) -> Any:
    if isinstance(value, dict):
        return expand_paths(value, where)
    if isinstance(value, list):
        return [_expand(item, index, f"{where}.{index}") for index, item in enumerate(value)]
    is_path = isinstance(value, str) and not isinstance(value, PlainScalar) and _PATH_KEY.fullmatch(str(key))
    return expand_path(value, where) if is_path else value

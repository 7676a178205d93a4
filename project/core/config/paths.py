"""`~`, `$VARIABLE` and `${VARIABLE}` in paths of yaml files and options.

In a setting, `${NAME}` of a top-level key such as `name` is a reference: see references.py.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from project.core.config.annotations import parameters_of
from project.core.config.reference_texts import ReferringText, escape, unescape
from project.core.config.settings import Settings
from project.core.config.trust import SavedText
from project.core.config.yaml_files import PlainScalar, Tree
from project.core.errors import ConfigError

_PATH_KEY = re.compile(r"root|dirpath|(\w+_)?(path|dir)")
_VARIABLE = re.compile(r"\$\$+\{|\$\{(?P<braced>\w+)\}|\$(?P<bare>\w+)", re.ASCII)


def expand_path(text: str, where: str, references: Collection[str] = ()) -> str:
    """Return a path with the values of `~`, `${VARIABLE}` and, if it is set, `$VARIABLE`, as Lightning's loggers do.

    Args:
        text: the path.
        where: config path or option, for messages.
        references: names whose `${NAME}` is a reference, which stays as it is.

    Raises:
        ConfigError: the variable of a `${VARIABLE}` is not set, or no user has this name.
    """
    is_referring = isinstance(text, ReferringText)

    def replace(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        if name is None or (match["braced"] and name in references):
            return match[0]
        if match["braced"] and name not in os.environ:
            raise ConfigError(f"{where} is {str(text)!r}, but the environment variable {name} is not set")
        value = os.environ.get(name, match[0])
        return str(escape(value)) if is_referring else value

    expanded = expand_home(_VARIABLE.sub(replace, text), where)
    return ReferringText(expanded) if is_referring else expanded


def expand_home(path: Any, where: str) -> Any:
    """Return a path with the value of `~` at its beginning; what is no text stays as it is.

    Raises:
        ConfigError: no user has this name.
    """
    if not isinstance(path, str) or not path.startswith("~"):
        return path
    try:
        return type(path)(Path(path).expanduser())
    except RuntimeError as error:
        raise ConfigError(f"{where} is {str(path)!r}, but there is no such user; begin with ./~ for a file") from error


def expand_result(path: Any, where: str) -> Any:
    """Return a path to which references were resolved, expanded as in a person's yaml, so that config.yaml repeats it.

    No variable is read for the text of a checkpoint, which a stranger may have written.
    """
    is_own = isinstance(path, str) and not isinstance(path, SavedText)
    return (
        unescape(expand_path(ReferringText(escape(path)), where))
        if is_own and "$" in path
        else expand_home(path, where)
    )


def is_path_key(key: str) -> bool:
    """Return whether the text of a key is a path: `root`, `path`, `dir`, `dirpath`, `*_path` or `*_dir`."""
    return _PATH_KEY.fullmatch(key) is not None


def expand_paths(tree: Tree, where: str = "") -> Tree:
    """Return a person's tree with expanded paths."""
    return {key: _expand(value, key, f"{where}.{key}" if where else str(key)) for key, value in tree.items()}


def _expand(value: Any, key: object, where: str) -> Any:
    if isinstance(value, dict):
        return expand_paths(value, where)
    if isinstance(value, list):
        return [_expand(item, index, f"{where}.{index}") for index, item in enumerate(value)]
    is_path = isinstance(value, str) and not isinstance(value, PlainScalar) and is_path_key(str(key))
    return expand_path(value, where, parameters_of(Settings)) if is_path else value

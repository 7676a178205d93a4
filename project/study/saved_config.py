"""Fast reading of config.yaml: what many runs have in common is parsed once."""

import re
from functools import lru_cache
from typing import Any

from project.core.config.yaml_files import parse_yaml
from project.core.errors import ConfigError, shorten

_NEXT_KEY = re.compile(r"\n(?=[^ \n-])")
_KEY = re.compile(r"""([A-Za-z_][\w./-]*|'[^'\n]*'|"[^"\\\n]*"):(?= |\n|$)""")
_IS_INDENTED = re.compile(r"(?:(?:  [^\n]*)?\n)+\Z")
_UNUSUAL = re.compile(r"[\t\r\x85\u2028\u2029]|[^\n]\Z")  # other line ends of yaml; a text that ends within a line
_MAX_LEVELS = 4  # that are split; deeper ones are parsed
_MOST_PARTS = 100  # of a config path


def read_settings(text: str) -> dict[str, Any]:
    """Return the values of a config.yaml by config path, as `parse_yaml` reads them.

    A text as the engine writes it is split where its keys begin, and a part that an earlier text had is not parsed
    again: texts share lists, so do not change these. Any other text is parsed as a whole.

    Raises:
        ConfigError: the text is not a mapping, or has a syntax error.

    Example::

        read_settings("model:\\n  net:\\n    width: 8\\n")  # {"model.net.width": 8}
    """
    settings = None if _UNUSUAL.search(text) else _split(text, "")
    if settings is None:
        tree = parse_yaml(text, "config.yaml")
        if not isinstance(tree, dict):
            raise ConfigError("config.yaml is not a mapping")
        settings = flatten_settings(tree)
    return settings


def flatten_settings(tree: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a tree by config path; lists and empty mappings are values.

    Raises:
        ConfigError: a config path has very many parts.
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path.count(".") > _MOST_PARTS:
            raise ConfigError(f"config.yaml: the config path {shorten(path, 40)} has more than {_MOST_PARTS} parts")
        if isinstance(value, dict) and value:
            flat |= flatten_settings(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def _split(text: str, prefix: str) -> dict[str, Any] | None:
    """Return the values of a mapping in blocks; None if it has another form, or is not valid."""
    settings: dict[str, Any] = {}
    keys = set()
    for block in _NEXT_KEY.split(text.removesuffix("\n")):
        match = _KEY.match(block)
        key = match[1].strip("'\"") if match is not None else None
        values = None if key is None or key in keys else _read_block(f"{block}\n", prefix)
        if values is None:
            return None
        keys.add(key)
        settings.update(values)
    return settings


@lru_cache(maxsize=1 << 16)
def _read_block(block: str, prefix: str) -> dict[str, Any] | None:
    """Return the values of a key with what belongs to it; None if they cannot be parsed alone."""
    first, _, rest = block.partition("\n")
    may_split = first.endswith(":") and prefix.count(".") < _MAX_LEVELS and _IS_INDENTED.match(rest)
    key = _parse(first[:-1]) if may_split else None
    if isinstance(key, str) and rest[:2] == "  ":
        inner = _split(rest[2:].replace("\n  ", "\n"), f"{prefix}{key}.")
        if inner is not None:
            return inner
    tree = _parse(block)
    return flatten_settings(tree, prefix) if isinstance(tree, dict) and len(tree) == 1 else None


def _parse(text: str) -> Any:
    try:
        return parse_yaml(text, "config.yaml")
    except ConfigError:
        return None  # the whole text is parsed, for a message with the right line

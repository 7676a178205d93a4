"""Hyper-parameters of a run: the settings that differ from their defaults, under short names."""

from collections import Counter
from typing import Any

from project.core.config.configuration import Config
from project.core.config.values import is_default

NOT_COMPARED = ("name", "root", "replace", "log_level", "timeout")  # they do not change what is trained
_SECTIONS = ("model", "data", "trainer")


def hyper_parameters(config: Config) -> dict[str, bool | int | float | str]:
    """Return the values that differ from the defaults, and the types of all components.

    They are the same for a run and its resumed parts, whose configuration contains the defaults.

    Example::

        hyper_parameters(config)  # {"net": "ResNet", "net.num_classes": 10, "optimizer.lr": 0.003, "max_epochs": 15}
    """
    values = {path: plain.value for path, plain in config.plain_values.items() if path not in NOT_COMPARED}
    counts = Counter(map(_short_name, values))
    return {
        _short_name(path) if counts[_short_name(path)] == 1 else path: _scalar(value)
        for path, value in values.items()
        if path not in config.defaults or not _is_equal(value, config.defaults[path])
    }


def _short_name(path: str) -> str:
    """Return a config path without its section, and without the `type` of a component: `net` for `model.net.type`."""
    section, _, rest = path.partition(".")
    name = rest if section in _SECTIONS and rest != "type" else path
    return name.removesuffix(".type")


def _is_equal(value: Any, default: Any) -> bool:
    if isinstance(value, list) and isinstance(default, list | tuple):
        return value == list(default)
    return is_default(value, default) or (value is None and default is None)


def _scalar(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else "null" if value is None else str(value)

"""Hyper-parameters of a run: the settings that differ from their defaults, under short names."""

from collections import Counter
from typing import Any

from project.core.config.configuration import Config
from project.core.config.yaml_files import DEFAULT_TYPES, flatten

# They do not change what is trained.
NOT_COMPARED = ("name", "root", "replace", "log_level", "timeout", "model.pretrained.sha256")
_SECTIONS = ("model", "data", "trainer")
_DEFAULT_TYPES = {f"{key}.type": name for key, name in DEFAULT_TYPES.items()}


def hyper_parameters(config: Config) -> dict[str, bool | int | float | str]:
    """Return the values that differ from the defaults, and the types of all components.

    They are the same for a run and its resumed parts, whose configuration contains the defaults.

    Example::

        hyper_parameters(config)  # {"net": "ResNet", "net.num_classes": 10, "optimizer.lr": 0.003, "max_epochs": 15}
    """
    values = {path: plain for path, plain in config.plain_values.items() if path not in NOT_COMPARED}
    constants = values.pop("vars", None)
    counts = Counter(map(_short_name, values))
    shown = {
        _short_name(path) if counts[_short_name(path)] == 1 else path: _scalar(plain.value)
        for path, plain in values.items()
        if not plain.is_default and plain.value != _DEFAULT_TYPES.get(path)
    }
    return shown | (flatten(constants.value, "vars.") if constants and constants.value else {})


def _short_name(path: str) -> str:
    """Return a config path without its section, and without the `type` of a component: `net` for `model.net.type`."""
    section, _, rest = path.partition(".")
    name = rest if section in _SECTIONS and rest != "type" else path
    return name.removesuffix(".type")


def _scalar(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else "null" if value is None else str(value)

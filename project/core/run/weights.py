"""Weights from a file: which tensor of the file is which of a module."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.model.fitting import adopt_shapes

_NET = "net."
_MAX_COMPARED, _MAX_RENAMED = 10, 3
_CONTAINERS = ("state_dict", "model")
_WRAPPERS = re.compile(r"^module\.|(^|(?<=\.))_orig_mod\.")  # names that DistributedDataParallel and torch.compile add


@dataclass
class Match:
    """Comparison of the tensors of a file with those of a module.

    Args:
        own: tensors of the module.
        loaded: tensors of the file that fit, by their names in the module.
        misshapen: tensors of the file with another shape, by their names in the module.
        unused: other tensors of the file, by their names in the file.
        missing: other tensors of the module.
    """

    own: Mapping[str, Tensor]
    loaded: dict[str, Tensor]
    misshapen: dict[str, Tensor]
    unused: dict[str, Tensor]
    missing: dict[str, Tensor]

    @property
    def required(self) -> dict[str, Tensor]:
        """The missing tensors of the net; the configuration sets those of losses, such as weights of classes."""
        has_net = any(name.startswith(_NET) for name in self.own)
        return {name: item for name, item in self.missing.items() if name.startswith(_NET) or not has_net}

    def describe_problem(self) -> str:
        """Return in one line why the file is not the whole net, or has more than the module; empty if it fits."""
        if self.unused or self.required:
            return f"in the file: {describe_first(self.unused)}; in the model: {describe_first(self.required)}"
        if not self.misshapen:
            return ""
        name, item = next(iter(self.misshapen.items()))
        others = f", and {len(self.misshapen) - 1} more differ" if len(self.misshapen) > 1 else ""
        return f"{name} is {describe_shape(item)} in the file and {describe_shape(self.own[name])} in the model{others}"

    def describe_remedy(self, where: str) -> str:
        """Return in one line what can be done about the problem.

        Args:
            where: config path or option that has the keys `rename`, `skip` and `strict`.
        """
        if self.unused or self.required:
            rename = _suggest_rename(self.unused, self.required)
            remedy = f"Perhaps set {where}.rename: {rename}" if rename else f"Set {where}.rename, {where}.skip"
            return f"{remedy}, or {where}.strict: false"
        name = next(iter(self.misshapen))
        pattern = re.sub(r"(?<=\.)[^.]*$", "*", name)
        return f"To keep the initial values of the model, set {where}.skip: ['{pattern}']"


def match_weights(weights: Mapping[str, Tensor], module: nn.Module, skip: Iterable[str] = ()) -> Match:
    """Return which tensor of a file is which of a module.

    Args:
        weights: tensors of the file.
        module: the module.
        skip: patterns of names that are left out.
    """
    names = names_in(module.state_dict(), weights)

    def is_skipped(name: str) -> bool:
        return any(fnmatchcase(name, pattern) or fnmatchcase(name, _NET + pattern) for pattern in skip)

    unused = {key: item for key, item in weights.items() if key not in names and not is_skipped(key)}
    given = {names[key]: item for key, item in weights.items() if key in names and not is_skipped(names[key])}
    adopt_shapes(module, given)
    own = module.state_dict()
    fits = {name: is_lazy(own[name]) or own[name].shape == item.shape for name, item in given.items()}
    return Match(
        own,
        loaded={name: item for name, item in given.items() if fits[name]},
        misshapen={name: item for name, item in given.items() if not fits[name]},
        unused=unused,
        missing={name: item for name, item in own.items() if name not in given and not is_skipped(name)},
    )


def check_patterns(skip: Iterable[str], weights: Mapping[str, Tensor], module: nn.Module, where: str) -> None:
    """Raise ConfigError if a pattern matches no name in the file or the module."""
    known = [*module.state_dict(), *weights]
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) or fnmatchcase(name, _NET + pattern) for name in known):
            raise ConfigError(f"{where}.skip: no tensor is called '{pattern}'{did_you_mean(pattern, known)}")


def names_in(own: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """Return the names that tensors of a file have in a module, by their names in the file.

    In the file they may lack `net.`, and have what DistributedDataParallel and torch.compile add.
    """
    own, keys, names = set(own), list(keys), dict[str, str]()
    forms: list[Callable[[str], str]] = [
        lambda key: key,
        _remove_wrappers,
        lambda key: _NET + key,
        lambda key: _NET + _remove_wrappers(key),
    ]
    # The form that fits most names of the net goes first: a loss may have a tensor that is called like one of the net.
    net = {name for name in own if name.startswith(_NET)} or own
    for form in sorted(forms, key=lambda form: sum(form(key) in net for key in keys), reverse=True):
        taken = set(names.values())
        names |= {key: form(key) for key in keys if key not in names and form(key) in own - taken}
    return names


def rename_keys(weights: Mapping[str, Tensor], rename: Mapping[str, str], where: str) -> dict[str, Tensor]:
    """Return tensors under the names that regular expressions and their replacements give them.

    Raises:
        ConfigError: an expression is not valid or matches no name, or two tensors get the same name.
    """
    renamed: dict[str, Tensor] = {}
    unused = dict(rename)
    for key, item in weights.items():
        name, used = _rename(key, rename, where)
        if not used:  # `^backbone` also means `module.backbone`
            name, used = _rename(_remove_wrappers(key), rename, where)
        name = name if used else key
        unused = {pattern: new for pattern, new in unused.items() if pattern not in used}
        if name in renamed:
            raise ConfigError(f"{where}.rename gives two tensors the name '{name}', the second is '{key}'")
        renamed[name] = item
    for pattern in unused:
        raise ConfigError(
            f"{where}.rename: {pattern!r} matches none of the names in the file: {describe_first(weights)}"
        )
    return renamed


def _rename(name: str, rename: Mapping[str, str], where: str) -> tuple[str, list[str]]:
    """Return the new name of a tensor, and the expressions that matched."""
    used = []
    for pattern, replacement in rename.items():
        try:
            name, count = re.subn(pattern, replacement, name)
        except (re.error, IndexError) as error:
            raise ConfigError(f"{where}.rename: {pattern!r}: {replacement!r} is not valid: {error}") from error
        used += [pattern] * bool(count)
    return name, used


def weights_in(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name in the content of a file; none if it contains something else.

    Dicts in dicts have names with dots, except for the one that contains the weights.
    """
    if not isinstance(content, dict):
        return {}
    inner = {key: item for key, item in content.items() if isinstance(key, str) and isinstance(item, dict)}
    for key in _CONTAINERS:
        if key in inner:
            return weights_in(inner[key])
    own = {key: item for key, item in content.items() if isinstance(key, str) and isinstance(item, Tensor)}
    nested = {key: weights for key, item in inner.items() if (weights := weights_in(item))}
    if not own and len(nested) == 1:
        return next(iter(nested.values()))
    return own | {f"{key}.{name}": item for key, weights in nested.items() for name, item in weights.items()}


def named_weights(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the tensors by name in the content of a file.

    Raises:
        ConfigError: there are none.
    """
    try:
        weights = weights_in(content)
    except RecursionError as error:  # a dict may contain itself
        raise ConfigError(f"{path} contains no weights: its dicts are nested too deeply") from error
    if not weights:
        raise ConfigError(f"{path} contains no weights: neither a checkpoint of a run, nor tensors by name")
    return weights


def describe_first(weights: Mapping[str, Tensor], count: int = 3) -> str:
    """Return the names and shapes of the first tensors."""
    shown = [f"{name} {describe_shape(item)}" for name, item in list(weights.items())[:count]]
    return join_names(shown) + (f", ... ({len(weights)})" if len(weights) > count else "")


def describe_shape(weight: Tensor) -> str:
    """Return the shape of a tensor, also of one whose shape the first batch decides."""
    return "(lazy)" if is_lazy(weight) else str(tuple(weight.shape))


def _remove_wrappers(key: str) -> str:
    return _WRAPPERS.sub("", key)


def _suggest_rename(unused: Mapping[str, Tensor], missing: Mapping[str, Tensor]) -> str:
    """Return the `rename` that gives the tensors of a file the names of a module's; empty if none is alike.

    An expression need not know what DistributedDataParallel and torch.compile add to the names.
    """
    names, keys = dict(missing), {_remove_wrappers(key): item for key, item in unused.items()}
    found: dict[str, str] = {}
    while len(found) < _MAX_RENAMED and (pair := _closest_prefixes(names, keys)):
        old, new = pair
        if any(earlier.startswith(old) for earlier in found.values()):  # it would rename these again
            break
        found[old] = new
        renamed = {key: new + key.removeprefix(old) for key in keys if key.startswith(old)}
        keys = {key: item for key, item in keys.items() if key not in renamed}
        names = {name: item for name, item in names.items() if name not in renamed.values()}
    shown = ", ".join(f"'^{re.escape(old)}': '{new}'" for old, new in found.items())
    return f"{{{shown}}}{' and others' if names else ''}" if found else ""


def _closest_prefixes(missing: Mapping[str, Tensor], unused: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Return the prefixes in the file and the module of two tensors whose names have the longest common end."""
    best, found = 0, None
    for name, own in list(missing.items())[:_MAX_COMPARED]:
        for key, item in unused.items():
            pairs = zip(reversed(name.split(".")), reversed(key.split(".")), strict=False)
            common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
            if common > best and describe_shape(own) == describe_shape(item):
                old, new = ("".join(f"{part}." for part in each.split(".")[:-common]) for each in (key, name))
                best, found = common, (old, new)
    return found

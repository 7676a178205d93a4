"""The definition of a sweep: what SWEEP.yaml, or the key `sweep` of an experiment's yaml, contains."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval

from project.core.config.configuration import build_group
from project.core.config.untyped_dump import dump_flow
from project.core.config.values import to_type
from project.core.errors import ConfigError, did_you_mean, join_names, shorten, show_value

_MAX_SHOWN = 200  # characters
_MAX_RUNS = 100_000
_MAX_VALUES = 5000  # of a setting
_KINDS = ("choice", "float", "int", "log")
# Settings that the sweep itself gives its runs, and what to write instead.
_OWN = {
    "name": "sweep.name is the pattern of the names of runs",
    "root": "set --root",
    "seed": "set sweep.seeds",
    "replace": "set --root, or another name of the sweep, to begin another one",
}


@dataclass(frozen=True)
class Choice:
    """A setting that takes one of several values.

    Args:
        values: the values, as `fit` would read them: numbers and booleans are PlainScalars.
        when: values that other settings must have for this one to be set, by config path.
    """

    values: tuple[Any, ...]
    when: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Number:
    """A setting that takes a number within bounds, both included.

    Args:
        low: the lowest.
        high: the highest.
        is_log: whether it is drawn uniformly in the logarithm.
        is_int: whether it is a whole number.
        when: values that other settings must have for this one to be set, by config path.
    """

    low: float
    high: float
    is_log: bool = False
    is_int: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """A sweep.

    Args:
        grid: values of settings, all combinations of which are trials; empty with a space, or for a single trial.
        space: settings whose values are drawn, by config path; empty with a grid.
        trials: number of trials of a space.
        seeds: seeds of the runs of each trial; empty for that of the yaml.
        folds: number of folds of a cross-validation; 0 for none.
        pruner: ends trials that are not promising; None ends none.
        monitor: logged value that says how good a run is.
        mode: min or max.
        name: pattern of the names of runs.
    """

    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    space: Mapping[str, Choice | Number] = field(default_factory=dict)
    trials: int = 0
    seeds: tuple[int, ...] = ()
    folds: int = 0
    pruner: Literal["median", "hyperband"] | None = None
    monitor: str | None = None
    mode: Literal["min", "max"] = "min"
    name: str = ""

    @property
    def paths(self) -> list[str]:
        """The config paths of the settings that differ between trials."""
        return [*self.grid, *self.space]


@dataclass
class _Keys:
    """The keys of a sweep, of which grid and space are read further."""

    grid: Any = None
    space: Any = None
    trials: Annotated[int, Ge(1)] | None = None
    seeds: Annotated[int, Interval(ge=1, le=1000)] | list[Annotated[int, Interval(ge=0, lt=2**32)]] | None = None
    folds: Annotated[int, Interval(ge=2, le=1000)] | None = None
    pruner: Literal["median", "hyperband"] | None = None
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None
    name: str | None = None


def read_definition(tree: object, first_seed: int) -> Definition:
    """Return the definition in a tree.

    Args:
        tree: what the yaml contains.
        first_seed: seed of the experiment, the first of `seeds: N`.

    Raises:
        ConfigError: a key is unknown, or a value is not valid.
    """
    if not isinstance(tree, dict):
        raise ConfigError(f"sweep is {show_value(tree)}; it takes a mapping with `grid` or `space`")
    keys = build_group(tree | {key: None for key in ("grid", "space") if key in tree}, _Keys, "sweep")
    given = [key for key in ("grid", "space") if tree.get(key) is not None]
    if len(given) == 2:
        raise ConfigError("a sweep has `grid` or `space`, not both")
    if not given and (keys.pruner is not None or not (keys.seeds or keys.folds)):
        raise ConfigError("a sweep needs `grid` or `space`; without a pruner, `seeds` or `folds` will do")
    if (keys.trials is None) == (given == ["space"]):
        problem = "sweep.space needs sweep.trials" if keys.trials is None else "sweep.trials needs sweep.space"
        raise ConfigError(f"{problem}: a grid has a trial for each combination, a space as many as `trials` says")
    if keys.mode is not None and keys.monitor is None:
        raise ConfigError("sweep.mode needs sweep.monitor, the value that says how good a run is")
    settings = _read_settings(tree[given[0]], f"sweep.{given[0]}", keys) if given else {}
    definition = Definition(
        grid=_read_grid(settings) if given != ["space"] else {},
        space=_read_space(settings) if given == ["space"] else {},
        trials=keys.trials or 0,
        seeds=_read_seeds(keys.seeds, first_seed),
        folds=keys.folds or 0,
        pruner=keys.pruner,
        monitor=keys.monitor,
        mode=keys.mode or "min",
        name=keys.name or "",
    )
    trials = definition.trials or math.prod(map(len, definition.grid.values()))
    if (count := trials * max(1, len(definition.seeds)) * max(1, definition.folds)) > _MAX_RUNS:
        raise ConfigError(
            f"the sweep has {show_value(count)} runs, more than {_MAX_RUNS}; use sweep.space with fewer trials"
        )
    return definition


def _show(value: object) -> str:
    """Return a value as the yaml contains it."""
    return shorten(dump_flow(value), _MAX_SHOWN)


def equals(value: object, other: object) -> bool:
    """Return whether two values of a yaml mean the same, such as 1e-3 and 0.001."""
    one, two = to_type(value, Any), to_type(other, Any)
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)


def _read_settings(value: object, where: str, keys: _Keys) -> Mapping[str, Any]:
    """Return the entries of a grid or space by config path, after a check of the paths."""
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{where} is {_show(value)}; it takes a mapping of config paths, such as model.optimizer.lr")
    own = dict(_OWN)
    if keys.monitor is not None:
        own |= dict.fromkeys(("checkpoint.monitor", "checkpoint.mode"), "sweep.monitor and sweep.mode set it")
    elif keys.trials is not None or keys.pruner is not None:  # which compare trials
        own |= dict.fromkeys(("checkpoint.monitor", "checkpoint.mode"), "set sweep.monitor and sweep.mode")
    for path in value:
        if not isinstance(path, str):
            raise ConfigError(f"{where} has the key {_show(path)}, which is no config path")
        key = path if path in own else path.partition(".")[0].removesuffix("+")
        if key in own:
            raise ConfigError(f"{where}.{path}: the sweep sets {key} of each run; {own[key]}")
    return value


def _read_grid(settings: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {path: _read_values(values, f"sweep.grid.{path}") for path, values in settings.items()}


def _read_values(values: object, where: str) -> tuple[Any, ...]:
    """Return the values in a list, which are all different."""
    if isinstance(values, dict):
        key = next(iter(values), "NAME")
        raise ConfigError(f"{where} takes a list of values; a config path is one key, with dots: {where[11:]}.{key}")
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{where} is {_show(values)}; it takes a list of values")
    if len(values) > _MAX_VALUES:
        raise ConfigError(f"{where} has {len(values)} values, more than {_MAX_VALUES}")
    typed = [to_type(value, Any) for value in values]
    for number, value in enumerate(typed):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in typed[:number]):
            raise ConfigError(f"{where} contains {_show(values[number])} twice")
    return tuple(values)


def _read_seeds(seeds: int | list[int] | None, first_seed: int) -> tuple[int, ...]:
    if isinstance(seeds, int):
        return tuple(range(first_seed, first_seed + seeds))
    if seeds == []:
        raise ConfigError("sweep.seeds is []; it takes a number of seeds, or a list of them")
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise ConfigError(f"sweep.seeds contains {Counter(seeds).most_common(1)[0][0]} twice")
    return tuple(seeds or ())


def _read_space(settings: Mapping[str, Any]) -> dict[str, Choice | Number]:
    space: dict[str, Choice | Number] = {}
    for path, entry in settings.items():
        space[path] = _read_entry(entry, f"sweep.space.{path}", space)
    return space


def _read_entry(entry: object, where: str, before: Mapping[str, Choice | Number]) -> Choice | Number:
    """Return an entry of a space, whose `when` refers to those before it."""
    if isinstance(entry, list):
        return Choice(_read_values(entry, where))
    example = "a list of values, {float: [LOW, HIGH]}, {log: [LOW, HIGH]} or {int: [LOW, HIGH]}"
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is {_show(entry)}; it takes {example}")
    if wrong := next((key for key in entry if key not in (*_KINDS, "when")), None):
        known = join_names((*_KINDS, "when"))
        raise ConfigError(f"{where} has no key '{wrong}'{did_you_mean(str(wrong), _KINDS)}\nknown: {known}")
    when = dict(_read_conditions(entry.get("when"), f"{where}.when", before))
    kinds = [key for key in _KINDS if key in entry and not (key == "log" and ("float" in entry or "int" in entry))]
    if len(kinds) != 1 or (kinds == ["choice"] and "log" in entry):
        raise ConfigError(f"{where} takes one of {join_names(_KINDS)}: {example}")
    kind = kinds[0]
    if kind == "choice":
        return Choice(_read_values(entry[kind], where), when)
    return _read_number(kind, entry[kind], entry.get("log"), where, when)


def _read_number(kind: str, bounds: object, log: object, where: str, when: Mapping[str, Any]) -> Number:
    is_log = kind == "log" or (log is not None and to_type(log, bool))
    if not isinstance(is_log, bool):
        raise ConfigError(f"{where}.log is {_show(log)}; beside {kind}, it takes true or false")
    is_int, values = kind == "int", to_type(bounds, Any)
    types = int if is_int else int | float
    is_pair = isinstance(values, list) and len(values) == 2
    if not is_pair or not all(isinstance(value, types) and not isinstance(value, bool) for value in values):
        raise ConfigError(f"{where}.{kind} is {_show(bounds)}; it takes two {'whole ' * is_int}numbers, [LOW, HIGH]")
    low, high = values if is_int else map(float, values)
    if not -math.inf < low < high < math.inf:
        raise ConfigError(f"{where}.{kind} is {_show(bounds)}; the first must be lower than the second")
    if is_log and low <= 0:
        raise ConfigError(f"{where}.{kind} is {_show(bounds)}; drawn in the logarithm, both must be above 0")
    return Number(low, high, is_log, is_int, when)


def _read_conditions(when: object, where: str, before: Mapping[str, Choice | Number]) -> Iterator[tuple[str, Any]]:
    """Yield the config paths and values of a condition; each value is the one of the choice that it equals."""
    if when is None:
        return
    if not isinstance(when, dict):
        raise ConfigError(f"{where} is {_show(when)}; it takes the value of another setting: {{PATH: VALUE}}")
    for path, value in when.items():
        choice = before.get(path)
        if not isinstance(choice, Choice):
            known = [name for name, entry in before.items() if isinstance(entry, Choice)]
            near = did_you_mean(str(path), known)
            raise ConfigError(
                f"{where} refers to {path}, which is no choice before it{near}\nknown: {join_names(known)}"
            )
        equal = [each for each in choice.values if equals(each, value)]
        if not equal:
            raise ConfigError(f"{where}.{path} is {_show(value)}; it takes one of {_show([*choice.values])}")
        yield path, equal[0]

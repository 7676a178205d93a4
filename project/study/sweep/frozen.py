"""ROOT/SWEEP/sweep.yaml: the sweep as it was begun. A sweep of the same name with other runs is refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from project.core.config.untyped_dump import dump_flow, dump_untyped
from project.core.config.yaml_files import Tree, parse_untyped
from project.core.errors import ConfigError, join_names, shorten
from project.core.files import write_text
from project.study.runs import STATE

FILE = "sweep.yaml"
# Settings without an effect on the results: another machine may need others.
_LOADERS = ("num_workers", "pin_memory", "prefetch_factor", "persistent_workers")
_FREE = ("name", "root", "log_level", "timeout", *(f"data.{name}" for name in _LOADERS))
_MOST, _LENGTH = 3, 200  # differences that a message shows, and characters of a value
_ABSENT = "not set"


class FrozenSweep:
    """The file in which a sweep's definition and its experiment are kept.

    Args:
        directory: ROOT/SWEEP.
        sweep: what SWEEP.yaml contains.
        experiment: the merged tree of the experiment.
    """

    def __init__(self, directory: Path, sweep: Tree, experiment: Tree) -> None:
        self.directory, self.file = directory, directory / FILE
        self.content = {"sweep": sweep, "experiment": experiment}

    def check(self) -> bool:
        """Return whether the sweep was begun before.

        Raises:
            ConfigError: the directory is something else, or the sweep was begun with another definition.
        """
        if self.directory.exists() and not self.directory.is_dir():
            raise ConfigError(f"{self.directory} is a file; {self._remedy}")
        if not self.file.is_file():
            names = [path.name for path in self.directory.iterdir()] if self.directory.is_dir() else []
            others = [name for name in names if name != STATE and not name.startswith(f".{FILE}.")]
            if others:
                what = "a run directory" if "config.yaml" in others else f"no sweep: it contains {sorted(others)[0]}"
                raise ConfigError(f"{self.directory} is {what}; {self._remedy}")
            return False
        before = parse_untyped(self.file.read_text(encoding="utf-8"), str(self.file))
        if not isinstance(before, dict) or before.keys() != self.content.keys():
            raise ConfigError(f"{self.file} is not the file of a sweep; {self._remedy}")
        if changes := find_changes(before, self.content):
            shown = "; ".join([*changes[:_MOST], *(["..."] if len(changes) > _MOST else [])])
            raise ConfigError(f"{self.directory} was begun as another sweep: {shown}\nTo begin another, {self._remedy}")
        return True

    def write(self) -> None:
        """Write the file, also if the sweep has grown since."""
        text = dump_untyped(self.content)
        if not self.check() or self.file.read_text(encoding="utf-8") != text:
            write_text(self.file, text)

    @property
    def _remedy(self) -> str:
        return "rename the yaml file of the sweep, or set --name or --root"


def find_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between two sweeps, without settings that have no effect on results."""
    old, new = _values(before), _values(now)
    pairs = {path: (old.get(path, _ABSENT), new.get(path, _ABSENT)) for path in [*old, *new]}
    changes = [
        f"{path} was {shorten(was, _LENGTH)} and is {shorten(value, _LENGTH)}"
        for path, (was, value) in pairs.items()
        if was != value and not _grows(path, was, value, now["sweep"])
    ]
    orders = [[*(each["sweep"].get("grid") or each["sweep"].get("space") or {})] for each in (before, now)]
    if not changes and orders[0] != orders[1]:  # which gives the trials other numbers
        changes.append(f"the order of settings was {join_names(orders[0])} and is {join_names(orders[1])}")
    return changes


def _grows(path: str, was: str, value: str, sweep: Mapping[str, Any]) -> bool:
    """Return whether a sweep only gets further runs: trials, or seeds where trials are not compared."""
    if path == "sweep.seeds" and (was == "1" or sweep.keys() & {"space", "pruner"}):  # one seed is not in the names
        return False
    is_count = path in ("sweep.trials", "sweep.seeds") and was.isdecimal() and value.isdecimal()
    return is_count and int(value) > int(was)


def _values(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a sweep and its experiment as yaml texts, by config path."""
    experiment = {path: text for path, text in _leaves(content["experiment"], "") if path not in _FREE}
    return dict(_leaves(content["sweep"], "sweep.")) | experiment


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", dump_flow(value)

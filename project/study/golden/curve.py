"""Golden curves: golden/NAME.json, and what differs from it."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from project.core.errors import ConfigError
from project.core.files import write_text
from project.core.installation import COMMAND
from project.study.files import parse_json, read_file

# Between instruction sets, at most 4e-6 in the first steps and 2e-3 in later ones was measured: rounding grows.
_EXACT_STEPS, _FIRST_TOLERANCE, _LATER_TOLERANCE = 5, 1e-5, 1e-2


class Difference(NamedTuple):
    """A step whose loss differs; None where one of the trainings had ended."""

    step: int
    expected: float | None
    got: float | None

    def __str__(self) -> str:
        return f"step {self.step}: {_show(self.expected)} -> {_show(self.got)}"


@dataclass
class Losses:
    """Losses of the first steps, and the version of torch that computed them."""

    torch: str
    values: list[float]


@dataclass
class GoldenCurve:
    """Losses of the first steps of a configuration.

    Args:
        name: name of the run, and of the file.
        config: path of the yaml, from the directory that contains `golden`.
        options: further options of the command.
        losses: losses by numerics fingerprint: machines of one fingerprint and version of torch compute the same bits.
    """

    name: str
    config: str
    options: list[str] = field(default_factory=list)
    losses: dict[str, Losses] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command that writes the losses of this machine."""
        return f"{COMMAND} golden {shlex.join([self.config, *self.options])}"

    def knows(self, fingerprint: str, losses: Losses) -> bool:
        """Return whether a machine of this fingerprint has computed the losses, with the same version of torch."""
        return fingerprint in self.losses and self.losses[fingerprint].torch == losses.torch

    def compare(self, fingerprint: str, losses: Losses) -> list[Difference]:
        """Return the steps that differ: at all if such a machine is known, else by more than rounding."""
        if self.knows(fingerprint, losses):
            return differences(self.losses[fingerprint].values, losses.values, exact=True)
        found = [differences(known.values, losses.values, exact=False) for known in self.losses.values()]
        return max(found, key=len, default=[])

    def accept(self, fingerprint: str, losses: Losses) -> list[str]:
        """Take the losses of this machine; return the fingerprints that are removed, whose losses are no longer true.

        They are kept if they differ from the new ones by no more than rounding.
        """
        stale = [
            other
            for other, known in self.losses.items()
            if other != fingerprint and differences(known.values, losses.values, exact=False)
        ]
        kept = {other: known for other, known in self.losses.items() if other not in stale}
        self.losses = dict(sorted((kept | {fingerprint: losses}).items()))
        return stale

    def write(self, path: Path) -> None:
        """Write the file, one loss a line, so that a change is easy to read."""
        content: dict[str, Any] = {"name": self.name, "config": self.config, "options": self.options}
        content["losses"] = {
            fingerprint: {"torch": known.torch, "values": [value.hex() for value in known.values]}
            for fingerprint, known in self.losses.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, f"{json.dumps(content, indent=2)}\n")


def read_golden(path: Path) -> GoldenCurve:
    """Read a golden curve.

    Raises:
        ConfigError: the file is damaged.
    """
    try:
        content = parse_json(read_file(path))
        losses = {
            str(fingerprint): Losses(str(known["torch"]), [float.fromhex(value) for value in known["values"]])
            for fingerprint, known in content["losses"].items()
        }
        return GoldenCurve(str(content["name"]), str(content["config"]), list(map(str, content["options"])), losses)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}\nRemove it, and write it again with cli.py golden") from error


def differences(expected: list[float], got: list[float], exact: bool) -> list[Difference]:
    """Return the steps at which losses differ.

    Args:
        expected: the losses of the file.
        got: the losses of this machine.
        exact: whether each bit counts; else rounding errors are allowed, which grow from step to step.
    """
    found = []
    for number in range(max(len(expected), len(got))):
        one, two = (values[number] if number < len(values) else None for values in (expected, got))
        tolerance = 0.0 if exact else _FIRST_TOLERANCE if number < _EXACT_STEPS else _LATER_TOLERANCE
        if one is None or two is None or not _is_close(one, two, tolerance):
            found.append(Difference(number + 1, one, two))
    return found


def _is_close(one: float, two: float, tolerance: float) -> bool:
    is_same = one.hex() == two.hex()  # NaN is equal to NaN
    return is_same or abs(one - two) <= tolerance * max(abs(one), abs(two))


def _show(value: float | None) -> str:
    return "none" if value is None else repr(value)

"""What the steps of a run were computed from: lineage.json, and the segment of a step."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError, first_line
from project.core.files import write_text

LINEAGE = "lineage.json"
_FIRST_CONFIG, _FIRST_ENVIRONMENT = "config.yaml", "environment.json"
# Files of the run directory, which may be a stranger's: of other files, replays would read.
_CONFIG, _ENVIRONMENT = re.compile(r"config(\.resume\d+)?\.yaml"), re.compile(r"environment(\.resume\d+)?\.json")
_MAX_SIZE = 2**24  # bytes
_MOST_STEPS = 2**63
# What the origins of a segment contain, and the types of their values; of `finetuned`, the settings of --finetune.
_WEIGHTS = {"path": str, "sha256": str}
_SETTINGS = _WEIGHTS | {"rename": dict | None, "skip": list | None, "strict": bool}
_FORK = {"run": str | None, "checkpoint": str, "step": int, "sha256": str}


@dataclass(frozen=True)
class Segment:
    """Steps of a run that were computed with one configuration on one machine.

    Args:
        from_step: the optimizer steps done before the segment: its first step has the next number.
        config: file in the run directory with the whole configuration.
        environment: file in the run directory with what the numbers may depend on besides.
        pretrained: path and sha256 of the weights that `model.pretrained` names, if a new run starts with them.
        finetuned: the settings of `--finetune`, with the sha256 of its file.
        forked_from: run, checkpoint, step and sha256 of the checkpoint of another run that this one goes on from.
        assumed: whether no record tells this: an older version of the engine trained the steps, which may have been
            resumed with other settings, forked, or started with --finetune.
    """

    from_step: int = 0
    config: str = _FIRST_CONFIG
    environment: str = _FIRST_ENVIRONMENT
    pretrained: Mapping[str, Any] | None = None
    finetuned: Mapping[str, Any] | None = None
    forked_from: Mapping[str, Any] | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError or TypeError if a value is none of a segment."""
        _check_number("from_step", self.from_step)
        for name, pattern in (("config", _CONFIG), ("environment", _ENVIRONMENT)):
            if not (isinstance(found := getattr(self, name), str) and pattern.fullmatch(found)):
                raise ValueError(f"{name} is no name of such a file")
        for name, types in (("pretrained", _WEIGHTS), ("finetuned", _SETTINGS), ("forked_from", _FORK)):
            _check_origin(name, getattr(self, name), types)
        if self.forked_from is not None and self.forked_from["step"] != self.from_step:
            raise ValueError("forked_from.step is not the step that the run begins with")
        if not isinstance(self.assumed, bool):
            raise TypeError("assumed is not true or false")


def read_lineage(run: Path) -> list[Segment]:
    """Return the segments of a run in the order of their steps; of an older run, only the first one, `assumed`.

    Raises:
        ConfigError: lineage.json is damaged.
    """
    file = run / LINEAGE
    try:
        if file.exists() and not file.is_file():
            raise ValueError("it is no file")
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MAX_SIZE + 1)
        if len(text) > _MAX_SIZE:
            raise ValueError("it is too large")
        segments = _parse(json.loads(text))
    except FileNotFoundError:
        return [Segment(assumed=True)]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{file} is damaged: {first_line(error)}") from error
    return segments


def segment_of(segments: Sequence[Segment], step: int) -> Segment:
    """Return the segment in which a step was computed; a step before a fork belongs to no segment of this run.

    Raises:
        ConfigError: the step was computed by the run that this one was forked from.
    """
    found = [segment for segment in segments if segment.from_step < step]
    if not found:
        origin = (segments[0].forked_from or {}).get("run", "another run")
        raise ConfigError(
            f"step {step} was trained by {origin}, from which this run was forked after step {segments[0].from_step}"
        )
    return found[-1]


def add_segment(run: Path, segment: Segment) -> None:
    """Add the segment that starts now; segments of later steps have been undone, and are left out.

    A segment that starts with the same state as the first one, which ended before its first step, has its origin.
    """
    earlier: list[Segment] = []
    if segment.config != _FIRST_CONFIG:
        found = read_lineage(run)
        earlier = [each for each in found if each.from_step < segment.from_step]
        first = found[0]
        if not earlier and first.from_step == segment.from_step:
            segment = replace(
                segment, pretrained=first.pretrained, finetuned=first.finetuned, forked_from=first.forked_from
            )
    text = json.dumps([asdict(each) for each in [*earlier, segment]], indent=2)
    write_text(run / LINEAGE, f"{text}\n")


def _parse(content: object) -> list[Segment]:
    """Return the segments in the content of lineage.json.

    Raises:
        ValueError: a value is wrong.
        TypeError: a value has a wrong type.
    """
    if not isinstance(content, list) or not content or not all(isinstance(item, dict) for item in content):
        raise ValueError("it is no list of segments")
    known = {each.name for each in fields(Segment)}
    unknown = sorted({str(key) for item in content for key in item} - known)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is unknown; a newer version of the engine may have written it")
    segments = [Segment(**item) for item in content]
    steps = [segment.from_step for segment in segments]
    if steps != sorted(set(steps)):
        raise ValueError("its segments are not in the order of their steps")
    if any(segment.forked_from for segment in segments[1:]):
        raise ValueError("a later segment than the first one is forked from another run")
    return segments


def _check_number(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST_STEPS:
        raise ValueError(f"{name} is no number of steps")


def _check_origin(name: str, origin: object, types: Mapping[str, Any]) -> None:
    if origin is None:
        return
    if not isinstance(origin, Mapping) or set(origin) != set(types):
        raise ValueError(f"{name} does not have the keys {', '.join(types)}")
    for key, expected in types.items():
        if not isinstance(origin[key], expected):
            raise TypeError(f"{name}.{key} has a wrong type")
        if isinstance(origin[key], str) and b"\0" in os.fsencode(origin[key]):
            raise ValueError(f"{name}.{key} contains a NUL")

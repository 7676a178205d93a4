"""What the steps of a run were computed from: lineage.json, and the segment of a step."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError
from project.core.files import write_text

LINEAGE = "lineage.json"
_FIRST_CONFIG, _FIRST_ENVIRONMENT = "config.yaml", "environment.json"


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
    """

    from_step: int = 0
    config: str = _FIRST_CONFIG
    environment: str = _FIRST_ENVIRONMENT
    pretrained: Mapping[str, Any] | None = None
    finetuned: Mapping[str, Any] | None = None
    forked_from: Mapping[str, Any] | None = None


def read_lineage(run: Path) -> list[Segment]:
    """Return the segments of a run in the order of their steps; of an older run, only the first one.

    Raises:
        ConfigError: lineage.json is damaged.
    """
    file = run / LINEAGE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        segments = [Segment(**segment) for segment in content]
    except FileNotFoundError:
        return [Segment()]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file} is damaged: {error}") from error
    if not segments:
        raise ConfigError(f"{file} is damaged: it has no segment")
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
    """Add the segment that starts now; segments of later steps have been undone, and are left out."""
    is_first = segment.config == _FIRST_CONFIG
    earlier = [] if is_first else [each for each in read_lineage(run) if each.from_step < segment.from_step]
    text = json.dumps([asdict(each) for each in [*earlier, segment]], indent=2)
    write_text(run / LINEAGE, f"{text}\n")

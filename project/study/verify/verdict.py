"""The verdict on a run: what is printed, and verified.json."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from project.core.errors import count_of
from project.core.files import write_text
from project.study.verify.known_states import RunRecord, Steps
from project.study.verify.verifying import Verified

VERIFIED = "verified.json"
_MOST_NAMES = 4  # of curves, in a line


@dataclass
class Verdict:
    """The verdict on a run.

    Args:
        record: what the run has recorded.
        segments: all segments.
        verified: those that were trained again.
    """

    record: RunRecord
    segments: Sequence[Steps]
    verified: list[Verified] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.record.problems and not any(each.differences for each in self.verified)

    @property
    def missed(self) -> float:
        """The probability that a change in one segment is not found: that this segment was not chosen."""
        return 1 - len(self.verified) / max(1, len(self.segments))

    @property
    def warnings(self) -> list[str]:
        """Why values may differ from those of the run."""
        return list(dict.fromkeys(text for each in self.verified for text in each.warnings))

    @property
    def missed_values(self) -> list[str]:
        """Names of logged values of the run, none of which was compared."""
        return sorted(set.intersection(*(each.missed for each in self.verified))) if self.verified else []

    def lines(self) -> Iterator[str]:
        """Yield the last lines that are printed."""
        if self.missed_values:
            names = ", ".join(self.missed_values[:_MOST_NAMES]) + (", ..." if self.missed_values[_MOST_NAMES:] else "")
            yield f"note: not compared: {names}; validations are repeated only if the training depends on them"
        number, total = len(self.verified), len(self.segments)
        if not self.is_equal:
            differing = sum(bool(each.differences) for each in self.verified)
            reasons = (
                [f"{differing} of {count_of(number, 'segment')} differ{'s' if number == 1 else ''}"]
                if differing
                else []
            )
            reasons += [count_of(len(self.record.problems), "contradiction")] if self.record.problems else []
            yield f"not verified: {', '.join(reasons)}"
        elif number == total:
            yield f"verified: all {count_of(total, 'segment')}"
        else:
            chance = f"a change in one segment would be missed with probability {self.missed:.0%}"
            yield f"verified: {number} of {count_of(total, 'segment')}: {chance.replace('%', ' %')}"

    def write(self) -> None:
        """Write verified.json in the run directory, the only file that a verification changes there."""
        head = self.record.links[-1] if self.record.links else None
        content = {
            "verdict": "verified" if self.is_equal else "differs",
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "steps": sum(each.steps.number for each in self.verified),
            "all_steps": sum(segment.number for segment in self.segments),
            "segments": [_to_json(each) for each in self.verified],
            "all_segments": len(self.segments),
            "missed_probability": round(self.missed, 4),
            "chain": {"links": len(self.record.links), "head": head and head.link},
            "problems": self.record.problems,
            "notes": self.record.notes,
            "not_compared": self.missed_values,
            "warnings": self.warnings,
            "environment": next((each.environment for each in self.verified if each.environment), None),
        }
        write_text(self.record.path / VERIFIED, json.dumps(content, indent=2) + "\n")


def _to_json(verified: Verified) -> dict[str, Any]:
    return {
        "first": verified.steps.first + 1,
        "last": verified.steps.last,
        "seconds": round(verified.seconds, 3),
        "states": verified.states,
        "values": verified.values,
        "differences": verified.differences,
    }


def describe(verified: Verified) -> str:
    """Return the line that is printed of a segment."""
    steps = f"steps {verified.steps.first + 1} to {verified.steps.last}"
    compared = f"{count_of(verified.states, 'state')}, {count_of(verified.values, 'logged value')}"
    found = f"differs {verified.differences[0]}" if verified.differences else f"equal: {compared}"
    more = f"; {len(verified.differences) - 1} more" if len(verified.differences) > 1 else ""
    return f"{steps}   {verified.seconds:.1f} s   {found}{more}"

"""Both runs trained again in their own processes, and what the two replays show."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from project.core.digest_file import DIGESTS
from project.core.errors import ConfigError
from project.study.bisect.checkout import NoCode, check_out
from project.study.bisect.process import ReplayFailed, Request, replay_in_process
from project.study.bisect.recorded import Comparison, Difference
from project.study.bisect.surroundings import Source, describe_code, is_present
from project.study.bisect.worker import RESULT
from project.study.digests import Digests, first_difference, read_digests

Replay = Callable[[Request], None]


@dataclass
class OneReplay:
    """The replay of a run.

    Args:
        digests: digests of each step.
        own: comparison with what the run recorded.
        samples: indices of the samples of each step, if they are known.
        end: digests of the state after the last step.
        has_own_code: whether it was trained by the code that trained the run.
    """

    digests: Digests
    own: Comparison
    samples: Mapping[int, Sequence[Any]]
    end: Mapping[str, int]
    has_own_code: bool


@dataclass
class Replays:
    """The replays of two runs.

    Args:
        both: the replays.
        last: the last step.
        notes: what was not replayed as it was trained.
    """

    both: list[OneReplay]
    last: int
    notes: list[str] = field(default_factory=list)

    @property
    def difference(self) -> Difference | None:
        """The first difference of the two; after the last step, only the state is compared."""
        one, two = self.both
        found = first_difference(one.digests, two.digests)
        if found.step is not None:
            return Difference(found.step, "digest", [*found.names])
        if names := [name for name in one.end if name in two.end and one.end[name] != two.end[name]]:
            return Difference(self.last + 1, "checkpoint", names)
        return None


def replay_both(
    sources: Sequence[Source], first: int, last: int, trusts: bool, replay: Replay = replay_in_process
) -> Replays:
    """Train steps of two runs again, with digests of all tensors.

    Args:
        sources: what the runs were computed from.
        first: the first step of interest.
        last: the last step.
        trusts: whether code and configurations of the runs may be used that are not the present ones.
        replay: does a replay.

    Raises:
        ConfigError: a run cannot be replayed.
    """
    replays = Replays([], last)
    for name, source in zip("AB", sources, strict=True):
        with ExitStack() as stack:
            output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bisect.")))
            code, has_own_code = _find_code(name, source, trusts, stack, replays.notes)
            logger.info(f"{name}: steps {first} to {last} are trained again")
            try:
                replay(Request(source.run, first, last, output, trusts, code))
            except ReplayFailed as error:
                raise ConfigError(f"{source.run} cannot be replayed: {error}") from error
            found, rounding = _read(output, has_own_code)
            replays.both.append(found)
            replays.notes += [f"{name}: {line}" for line in rounding]
    return replays


def _find_code(name: str, source: Source, trusts: bool, stack: ExitStack, notes: list[str]) -> tuple[Path | None, bool]:
    """Return the directory of a run's own code, None for the present one, and whether that is its own."""
    if is_present(source.code):
        return None, True
    described = describe_code(source.code)
    if not trusts and source.code.commit is not None:
        notes.append(f"{name} was trained by {described}, and replayed by the present code; --trust runs its own")
        return None, False
    try:
        return check_out(source.code, stack), True
    except NoCode as error:
        notes.append(f"{name} was trained by {described}, and replayed by the present code: {error}")
        return None, False


def _read(output: Path, has_own_code: bool) -> tuple[OneReplay, list[str]]:
    """Return what a worker found out, and why its values may differ from those of the run by rounding."""
    content = json.loads((output / RESULT).read_text(encoding="utf-8"))
    own = Comparison(**content["own"])
    own.differences = [Difference(**each) for each in content["own"]["differences"]]
    own.checkpoints = {int(step): is_equal for step, is_equal in own.checkpoints.items()}
    samples = {int(step): found for step, found in content["samples"].items()}
    replay = OneReplay(read_digests(output / DIGESTS), own, samples, content["end"], has_own_code)
    return replay, content["rounding"]

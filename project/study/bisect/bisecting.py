"""The search for the first step and tensor at which two runs differ, and its answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from project.core.errors import ConfigError, count_of, join_names
from project.core.run.lineage import Segment, read_lineage
from project.study.bisect.explaining import compare_samples, describe_samples, explain, kind_of, list_names
from project.study.bisect.process import replay_in_process
from project.study.bisect.recorded import Comparison, Difference, compare_runs, load_digests, newest_state
from project.study.bisect.replays import OneReplay, Replay, Replays, replay_both
from project.study.bisect.rounding import TOLERANCE, WithinRounding, check_comparable
from project.study.bisect.surroundings import Source, compare_progress, differing_sources, read_source
from project.study.digests import Digests
from project.study.replay.stretches import check_run

_HEADLINES = ("they part", "A departs", "B departs")  # first words of lines below which samples are named
_WHOLE = {"parameter", "data", "loss", "gradient"}  # kinds of the digests of a step that say all about it


@dataclass
class Answer:
    """What is known of two runs.

    Args:
        lines: the answer, for people; the first line is the shortest one.
        step: the first step at which they differ; None if they are equal, or only a range is known.
        names: the tensors that differ first, in causal order.
        equal: a step at which all that is saved is equal, before the first difference; 0 for the start.
        until: the step of the first difference in what was recorded; None if there is none.
        departing: the runs that are not what their replays compute: `A`, `B`.
        is_equal: whether no difference was found.
    """

    lines: list[str] = field(default_factory=list)
    step: int | None = None
    names: list[str] = field(default_factory=list)
    equal: int = 0
    until: int | None = None
    departing: str = ""
    is_equal: bool = False


def bisect_runs(one: Path, two: Path, trusts: bool = False, replay: Replay = replay_in_process) -> Answer:
    """Return the first step and tensor at which two runs differ.

    Args:
        one: the run directory A.
        two: the run directory B.
        trusts: whether code and configurations of the runs may be used that are not the present ones.
        replay: does a replay.

    Raises:
        ConfigError: they cannot be compared.

    Example::

        bisect_runs(Path("experiments/digits"), Path("experiments/stopped")).step
    """
    runs = [one, two]
    _check(runs)
    start = common_start(one, two)
    answer = Answer()
    sources = [read_source(run, _segment(run, start + 1)) for run in runs]
    if sources[0].processes != sources[1].processes:
        comparison = _compare_within_rounding(answer, runs, sources)
    else:
        comparison = compare_runs(runs)
        if (difference := comparison.first) is None:
            answer.is_equal = True
            answer.lines += _describe_equal(comparison, start)
        else:
            answer.until, answer.equal = difference.step, max(comparison.equal_before(difference.step), start)
            sources = [read_source(run, _segment(run, answer.equal + 1)) for run in runs]
            answer.lines.append(f"compared: {_describe(comparison)}")
            _find_difference(answer, comparison, difference, sources, start, trusts, replay)
    below = next((n for n, line in enumerate(answer.lines[1:], 1) if not line.startswith("  ")), len(answer.lines))
    answer.lines.insert(below, f"A is {one}, B is {two}")
    _add_surroundings(answer, comparison, sources)
    return answer


def _find_difference(
    answer: Answer,
    comparison: Comparison,
    difference: Difference,
    sources: Sequence[Source],
    start: int,
    trusts: bool,
    replay: Replay,
) -> None:
    """Add the step and the tensors of the first difference to an answer: from the digests, or by replays."""
    digests = _whole_digests([source.run for source in sources], difference)
    if digests and kind_of(difference.names[0]) != "data":
        _add_difference(answer, difference, start, digests)
        return
    _add_bounds(answer, comparison, difference)
    first = difference.step if digests else answer.equal + 1  # of a batch, a replay of its step knows the samples
    replays = replay_both(sources, first, difference.step, trusts, replay)
    _add_replays(answer, replays, difference, start)


def _compare_within_rounding(answer: Answer, runs: Sequence[Path], sources: Sequence[Source]) -> Comparison:
    """Compare what runs on different numbers of processes recorded; replays would differ by rounding, too."""
    comparison = compare_runs(runs, WithinRounding())
    check_comparable(sources, newest_state(runs[0]))
    _describe_equal(comparison, 0)
    counts = " and ".join(str(source.processes) for source in sources)
    how = f"trained on {counts} processes, which add in another order"
    difference = comparison.first
    answer.is_equal = difference is None
    if difference is None:
        answer.lines += [f"equal within rounding: {_describe(comparison)}", f"{how}: within a {TOLERANCE}"]
    else:
        answer.until = difference.step
        what = f"{difference.source} {list_names(difference.names)}"
        answer.lines += [
            f"they differ by more than rounding at step {difference.step}: {what}",
            f"{how}: compared within a {TOLERANCE}; each process draws its own random numbers",
            f"compared: {_describe(comparison)}",
        ]
    return comparison


def common_start(one: Path, two: Path) -> int:
    """Return the step up to which two runs are one: a fork and its origin, or two forks of one run; else 0."""
    segments = [read_lineage(run)[0] for run in (one, two)]
    origins = [_origin(segment) for segment in segments]
    names = [each.resolve() for each in (one, two)]
    if origins[1] == names[0]:
        return segments[1].from_step
    if origins[0] == names[1]:
        return segments[0].from_step
    if origins[0] is not None and origins[0] == origins[1]:
        return min(segment.from_step for segment in segments)
    return 0


def _origin(segment: Segment) -> Path | None:
    return Path(str(segment.forked_from.get("run"))).resolve() if segment.forked_from else None


def _segment(run: Path, step: int) -> Segment:
    """Return the segment of a step; the first one for a step before a fork."""
    segments = read_lineage(run)
    return [segments[0], *(each for each in segments if each.from_step < step)][-1]


def _check(runs: Sequence[Path]) -> None:
    for run in runs:
        check_run(run)
    if runs[0].resolve() == runs[1].resolve():
        raise ConfigError(f"{runs[0]} and {runs[1]} are the same run; to check a run against itself, use verify")


def _whole_digests(runs: Sequence[Path], difference: Difference) -> list[Digests]:
    """Return the digests that two runs recorded if they say all about the first step that differs; else none."""
    if difference.source != "digest":
        return []
    both = [load_digests(run, Comparison()) for run in runs]
    return both if _knows(both, difference.step) else []


def _knows(both: Sequence[Digests], step: int) -> bool:
    """Return whether both have digests of all that a step computes with."""
    found = [digests.get(step) for digests in both]
    return all(each is not None and {*map(kind_of, each.values)} >= _WHOLE for each in found)


def _add_difference(answer: Answer, difference: Difference, start: int, digests: Sequence[Digests]) -> None:
    """Add the first tensors that differ to an answer."""
    answer.step, answer.names = difference.step, difference.names
    when = f"after step {difference.step - 1}" if difference.source == "checkpoint" else f"at step {difference.step}"
    is_start = difference.step == start + 1
    meaning = explain(difference.names, is_start, _knows(digests, difference.step - 1))
    answer.lines[:0] = [f"they part {when}: {list_names(difference.names)}", f"  {meaning}"]


def _add_bounds(answer: Answer, comparison: Comparison, difference: Difference) -> None:
    step, is_saved = answer.equal, answer.equal in comparison.checkpoints
    at = f"in the checkpoint of step {step}" if is_saved else f"at step {step}" if step else "at the start"
    what = f"{difference.source} {list_names(difference.names)}"
    answer.lines.append(f"equal {at}; the first difference on record is of step {difference.step}: {what}")
    digested = comparison.digests_equal
    if step < digested < difference.step:
        kinds = join_names(comparison.digest_kinds)
        line = f"digests ({kinds}) are equal up to step {digested}; replays start where all is saved"
        answer.lines.append(line)


def _add_replays(answer: Answer, replays: Replays, difference: Difference, start: int) -> None:
    """Add what two replays show to an answer."""
    answer.lines += replays.notes
    found, both = replays.difference, replays.both
    if found is not None:
        _add_difference(answer, found, start, [each.digests for each in both])
    verdicts = [_judge(answer, name, each) for name, each in zip("AB", both, strict=True)]
    if found is None:
        departures = [line for line, each in zip(verdicts, both, strict=True) if each.own.first is not None]
        verdicts = [line for line in verdicts if line not in departures]
        answer.lines[:0] = departures or ["no cause is found: trained again, both runs are equal"]
        answer.lines.append("trained again, both are equal in all tensors of all steps")
    answer.lines += verdicts
    if answer.step is not None and kind_of(answer.names[0]) == "data":
        samples = [each.samples.get(answer.step) for each in both]
        line = compare_samples(*samples) if found is not None else describe_samples(samples[0], answer.names)
        number = next(number for number, each in enumerate(answer.lines) if each.startswith(_HEADLINES))
        answer.lines[number + 1 : number + 1] = [f"  {line}"] if line else []
    if found is None and not answer.departing:
        answer.lines.append(f"not trained again: {list_names(difference.names)}; a replay validates only where it must")


def _judge(answer: Answer, name: str, replay: OneReplay) -> str:
    """Return whether a run is what its replay computes."""
    own, departure = replay.own, replay.own.first
    if departure is None:
        count = own.values + own.digests + len(own.checkpoints)
        return (
            f"{name} repeats its own record: {_describe(own)}"
            if count
            else f"{name} recorded nothing in these steps: unproven"
        )
    answer.departing += name
    causes = "code, machine or memory" if replay.has_own_code else "its code, which was not used, machine or memory"
    if departure.source == "digest" and kind_of(departure.names[0]) == "data":
        causes = f"data that has changed since, {causes}"
    what = f"{departure.source} {list_names(departure.names)}"
    if departure.source == "digest" and answer.step is None:
        answer.step, answer.names = departure.step, departure.names
    return f"{name} departs from its own record at step {departure.step} ({what}): {causes}"


def _describe_equal(comparison: Comparison, start: int) -> list[str]:
    if not (comparison.values or comparison.checkpoints or comparison.digests):
        raise ConfigError("the runs have recorded nothing at the same steps: there is nothing to compare")
    lines = [f"equal in what both recorded: {_describe(comparison)}"]
    has_all_steps = comparison.digest_steps == comparison.digests_equal - start
    if not ({*comparison.digest_kinds} >= _WHOLE and has_all_steps):
        lines.append("a difference that vanished in between would not be seen; `digests: {all: 1}` records every step")
    return lines


def _describe(comparison: Comparison) -> str:
    """Return how much was compared."""
    steps = [str(step) for step, is_equal in comparison.checkpoints.items() if is_equal]
    word = "step" if len(steps) == 1 else "steps"
    saved = f"{count_of(len(steps), 'checkpoint')} ({word} {', '.join(steps)})" if steps else ""
    values = (
        f"{count_of(comparison.values, 'value')} of {count_of(comparison.curves, 'curve')}" if comparison.values else ""
    )
    of, kinds = count_of(comparison.digest_steps, "step"), ", ".join(comparison.digest_kinds)
    digests = f"{count_of(comparison.digests, 'digest')} of {of} ({kinds})" if comparison.digests else ""
    return ", ".join(filter(None, [values, saved, digests])) or "nothing recorded before"


def _add_surroundings(answer: Answer, comparison: Comparison, sources: Sequence[Source]) -> None:
    """Add what else differs, and what was not compared."""
    groups = differing_sources(*sources)
    if groups:
        answer.lines.append("different (A -> B):")
        answer.lines += [f"  {name}: {line}" for name, lines in groups.items() for line in lines]
    else:
        answer.lines.append("settings, code and environment are the same")
    for name, only in zip("AB", comparison.only, strict=True):
        answer.lines += [f"only {name} has the curves {list_names(only)}"] if only else []
    answer.lines += [*compare_progress([source.run for source in sources]), *comparison.notes]

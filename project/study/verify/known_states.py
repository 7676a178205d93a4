"""The states of a run that can be compared with those of a replay, and the segments between them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from project.core.errors import ConfigError, first_line
from project.core.run.checkpoint_files import BEST, LAST, LoadedCheckpoint, list_by_step, load_checkpoint
from project.core.run.lineage import LINEAGE, Segment, read_lineage
from project.core.run.state_chain import STATES, Link
from project.core.run.state_digest import state_digest
from project.core.run.summary import RUNNING, SUMMARY
from project.study.verify.chain import check_chain, read_links, read_summary


@dataclass
class KnownState:
    """A state that the run has recorded.

    Args:
        files: checkpoints that contain it.
        digest: its digest in the chain; None if it has no link.
    """

    files: list[Path] = field(default_factory=list)
    digest: str | None = None


@dataclass(frozen=True)
class Steps:
    """A segment: the steps after one state that a replay can start from, to the next one.

    Args:
        first: the optimizer steps done before.
        last: the last step.
    """

    first: int
    last: int

    @property
    def number(self) -> int:
        """The number of steps."""
        return self.last - self.first


@dataclass
class RunRecord:
    """What a run has recorded of its states.

    Args:
        path: the run directory.
        lineage: what its steps were computed from.
        states: its states by step.
        starts: steps after which a replay can start.
        links: the chain.
        problems: what contradicts itself in it.
        notes: what is not compared or verified, and why.
    """

    path: Path
    lineage: list[Segment]
    states: dict[int, KnownState] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def segments(self) -> list[Steps]:
        """The segments, in the order of their steps."""
        ends = sorted({*self.starts, max(self.states, default=self.starts[0])})
        return [Steps(first, last) for first, last in pairwise(ends)]


def read_record(run: Path) -> RunRecord:
    """Return what a run has recorded of its states.

    Each checkpoint is compared with the chain, which finds those that were changed alone.

    Raises:
        ConfigError: lineage.json is damaged.
    """
    lineage = read_lineage(run)
    record = RunRecord(run, lineage, starts=[lineage[0].from_step])
    heads: dict[Path, LoadedCheckpoint] = {}
    digests: dict[Path, str] = {}
    for path in _list_checkpoints(run / "checkpoints"):
        checkpoint = _load(record, path)
        if checkpoint is None:
            continue
        digests[path] = state_digest(checkpoint.take_content())
        heads[path] = checkpoint
    record.links = read_links(run, record.problems)  # after the checkpoints: a run that still trains adds both
    is_fork = lineage[0].forked_from is not None
    if record.starts[0] and not is_fork:
        record.problems.append(f"{LINEAGE} begins after step {record.starts[0]}, but the run is no fork")
    record.problems += check_chain(run, record.links, is_fork)
    for link in record.links:
        if link.step > lineage[0].from_step:
            record.states.setdefault(link.step, KnownState()).digest = link.digest
    if not record.links and any(checkpoint.header.link for checkpoint in heads.values()):
        record.problems.append(f"checkpoints have links of a chain, but {STATES} has none")
    for path, checkpoint in heads.items():
        _check_link(record, path, checkpoint, digests[path])
    record.notes += _limits(record)
    return record


def _limits(record: RunRecord) -> Iterator[str]:
    """Yield what is not verified of a run, and why."""
    first, origin = record.starts[0], record.lineage[0].forked_from
    if origin is not None:
        yield f"steps 1 to {first} are not verified: {origin.get('run') or 'another run'} trained them"
    if not record.links:
        yield f"the run has no {STATES}: only its checkpoints are compared"
    summary = read_summary(record.path)
    if record.links and not summary:
        yield f"the run has no {SUMMARY}, which would name the last link"
    if summary.get("state") == RUNNING:
        yield "the run is still training, or was killed: steps after its last recorded state are not verified"


def _list_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints by step, oldest first, and the best and last ones if they are files of their own."""
    files = [*reversed(list_by_step(directory))]
    others = [path for path in (directory / BEST, directory / LAST) if path.exists()]
    return [*files, *(path for path in others if not any(path.samefile(file) for file in files if file.exists()))]


def _load(record: RunRecord, path: Path) -> LoadedCheckpoint | None:
    """Return a checkpoint that can be compared, and add its state to the record; else None."""
    name = path.relative_to(record.path).as_posix()
    try:
        checkpoint = load_checkpoint(path)
    except ConfigError as error:
        if path.exists():  # else the run, which still trains, has removed it
            record.problems.append(f"{name} cannot be read: {first_line(error)}")
        return None
    if not checkpoint.header.is_resumable:
        record.notes.append(f"{name} is not compared: it was not saved after an optimizer step")
        return None
    named = list_by_step(path.parent).get(path, checkpoint.step)
    if named != checkpoint.step:
        record.problems.append(f"{name} contains the state after step {checkpoint.step}")
        return None
    if checkpoint.step > record.starts[0]:
        record.states.setdefault(checkpoint.step, KnownState()).files.append(path)
        if path.name not in (BEST, LAST):
            record.starts.append(checkpoint.step)
    return checkpoint


def _check_link(record: RunRecord, path: Path, checkpoint: LoadedCheckpoint, digest: str) -> None:
    """Compare a checkpoint with the chain: its state with its digest, and its last link."""
    name = path.relative_to(record.path).as_posix()
    state = record.states.get(checkpoint.step)
    if state is not None and state.digest not in (None, digest):
        record.problems.append(f"{name} is not the state of step {checkpoint.step} in the chain")
    last = _last_link(record.links, checkpoint.step)
    saved = checkpoint.header.link.get("link")
    if record.links and saved is not None and (last is None or saved != last.link):
        record.problems.append(f"{name} has another last link than the chain at step {checkpoint.step}")


def _last_link(links: Sequence[Link], step: int) -> Link | None:
    return next((link for link in reversed(links) if link.step <= step), None)

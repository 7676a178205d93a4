"""Which state of a run a replay starts from, and with which configurations it goes on."""

import hashlib
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import Tree, parse_yaml
from project.core.errors import ConfigError, shorten
from project.core.installation import COMMAND
from project.core.run.checkpoint_files import BEST, LAST, LoadedCheckpoint, list_by_step, load_checkpoint
from project.core.run.lineage import Segment, read_lineage, segment_of
from project.core.run.run_directory import is_run
from project.core.run.state_digest import state_leaves
from project.study.files import parse_json, read_file

_IS_EPOCH_END = "loops.fit_loop.epoch_loop.batch_progress.is_last_batch"  # stored
_ATTEMPTS = 3  # to load a checkpoint before a run that goes on has removed it


@dataclass(frozen=True)
class Stretch:
    """Steps that are trained with one configuration.

    Args:
        run: directory of the run that trained them.
        segment: what they were computed from.
        first: the optimizer steps done before.
        last: the last step.
        checkpoint: checkpoint to start from; None for the state that the stretch before leaves, or the start of a run.
    """

    run: Path
    segment: Segment
    first: int
    last: int
    checkpoint: LoadedCheckpoint | None = None

    @property
    def text(self) -> str:
        """The whole configuration, as yaml."""
        return read_own(self.run, self.segment.config)

    @property
    def environment(self) -> dict[str, Any]:
        """What environment.json says; empty for an older run, or if it is damaged."""
        return _read_environment(self.run, self.segment)


def check_run(run: Path) -> None:
    """Check that a directory is that of a run.

    Raises:
        ConfigError: it is not.
    """
    try:
        if is_run(run):
            return
        what = "is not a directory" if run.exists() else "does not exist"
        inside = next((each for each in run.parents if is_run(each)), None)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{shorten(str(run), 200)} cannot be read: {getattr(error, 'strerror', error)}") from error
    if run.is_dir():
        what = "is not the directory of a run: it has no config.yaml of one"
    raise ConfigError(f"{run} {what}{f'; the run is {inside}' if inside else ''}")


def find_stretches(run: Path, first: int, last: int) -> list[Stretch]:
    """Return the stretches that lead to the steps `first` to `last`, from the newest checkpoint before them.

    Raises:
        ConfigError: the directory contains no run, the steps are not its own, or what it was started from is missing.
    """
    if not 1 <= first <= last:
        raise ConfigError(f"a run has no steps {first} to {last}; the first step is 1")
    check_run(run)
    segments = read_lineage(run)
    origin = segments[0].forked_from
    if origin is not None and first <= segments[0].from_step:
        command = f"{COMMAND} replay {shlex.quote(str(origin.get('run')))} --step {first}"
        raise ConfigError(
            f"step {first} was trained by {origin.get('run')}, from which this run was forked after step "
            f"{segments[0].from_step}\nReplay it there: {command}"
        )
    checkpoint = find_start(run, first, _starts(run, segments, first))
    start = checkpoint.step if checkpoint else segments[0].from_step
    stretches: list[Stretch] = []
    if checkpoint is None and origin is not None:
        checkpoint = _fork_checkpoint(origin)
        if checkpoint is None:
            stretches = _stretches_of_origin(run, origin)
    for segment, end in _parts(run, segments, start, last):
        stretches.append(Stretch(run, segment, start, end, checkpoint))
        checkpoint, start = None, end
    return stretches


def find_start(run: Path, step: int, starts: Collection[int] | None = None) -> LoadedCheckpoint | None:
    """Return the newest resumable checkpoint before a step; None if there is none.

    Args:
        run: the run directory.
        step: the step.
        starts: steps of checkpoints within an epoch that are taken; None takes all.
    """
    found: list[LoadedCheckpoint] = []
    for _ in range(_ATTEMPTS):
        named = list_by_step(run / "checkpoints")
        files = [path for path, done in named.items() if done < step]
        found = [checkpoint for path in _others(run, [*named]) if (checkpoint := _load(path, step, starts))]
        has_vanished = False
        for path in files:
            if any(each.step >= named[path] for each in found):
                break
            if (checkpoint := _load(path, step, starts)) is not None:
                found.append(checkpoint)
                break
            has_vanished |= not path.exists()
        if not has_vanished:
            break
    return max(found, key=lambda checkpoint: checkpoint.step, default=None)


def read_own(run: Path, name: str) -> str:
    """Return the text of a file in a run directory; lineage.json, which names it, may come from a stranger.

    Raises:
        ConfigError: it is not in the directory, or cannot be read.
    """
    if Path(name).name != name:
        raise ConfigError(f"{run / 'lineage.json'} is damaged: it names {name!r}, which is not in the directory")
    try:
        return read_file(run / name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{run / name} cannot be read: {reason}") from error


def _starts(run: Path, segments: list[Segment], step: int) -> set[int] | None:
    """Return after which steps within an epoch a replay can start; None for all.

    At a resume, a data module of the user's own is read from its start: there, the run itself did so.
    """
    config = segment_of(segments, step).config
    if _has_exact_data(parse_yaml(read_own(run, config), config)):
        return None
    return {segment.from_step for segment in segments}


def _has_exact_data(tree: Tree) -> bool:
    data = tree.get("data")
    return not isinstance(data, dict) or data.get("type", "DataModule") == "DataModule"


def _load(path: Path, step: int, starts: Collection[int] | None = None) -> LoadedCheckpoint | None:
    """Return a checkpoint before a step that a run can go on from; None if it is not, damaged, or removed by now."""
    try:
        checkpoint = load_checkpoint(path)
    except (ConfigError, FileNotFoundError):
        return None
    if not checkpoint.header.is_resumable or checkpoint.step >= step:
        return None
    if starts is None or checkpoint.step in starts or state_leaves(checkpoint.content).get(_IS_EPOCH_END, False):
        return checkpoint
    return None


def _others(run: Path, named: list[Path]) -> list[Path]:
    """Return last.ckpt and best.ckpt where they are not links to checkpoints that are named by their steps."""
    known = {path.stat().st_ino for path in named if path.exists()}
    files = [run / "checkpoints" / name for name in (LAST, BEST)]
    return [file for file in files if file.is_file() and file.stat().st_ino not in known]


def _parts(run: Path, segments: list[Segment], start: int, last: int) -> Iterator[tuple[Segment, int]]:
    """Yield the segments of the steps from `start` to `last`, each with its last step; equal neighbors are one."""
    current = segment_of(segments, start + 1)
    for following in segments[segments.index(current) + 1 :]:
        if following.from_step >= last:
            break
        if not _is_same(run, current, following):
            yield current, following.from_step
            current = following
        else:
            current = replace(current, config=following.config, environment=following.environment)
    yield current, last


def _is_same(run: Path, one: Segment, two: Segment) -> bool:
    """Return whether two segments have the same configuration and threads: the second resumed the run, exactly."""
    first, second = (parse_yaml(read_own(run, each.config), each.config) for each in (one, two))
    threads = [_read_environment(run, each).get("threads") for each in (one, two)]
    return _has_exact_data(first) and _without_place(first) == _without_place(second) and threads[0] == threads[1]


def _without_place(tree: Tree) -> Tree:
    """Return a tree without the place of the run, which may have been moved between two segments."""
    return {key: value for key, value in tree.items() if key not in ("root", "name")}


def _read_environment(run: Path, segment: Segment) -> dict[str, Any]:
    try:
        content = parse_json(read_own(run, segment.environment))
    except (ConfigError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _fork_checkpoint(origin: Mapping[str, Any]) -> LoadedCheckpoint | None:
    """Return the checkpoint that a run was forked from; None if it is gone, or another one has its name by now."""
    path = Path(str(origin.get("checkpoint")))
    checkpoint = _load(path, int(origin["step"]) + 1)
    if checkpoint is None or checkpoint.step != origin["step"]:
        return None
    with path.open("rb") as file:
        return checkpoint if hashlib.file_digest(file, "sha256").hexdigest() == origin["sha256"] else None


def _stretches_of_origin(run: Path, origin: Mapping[str, Any]) -> list[Stretch]:
    """Return the stretches that train what a run was forked from."""
    source, step = origin.get("run"), int(origin["step"])
    if source is None or not is_run(Path(str(source))):
        raise ConfigError(
            f"{run} was forked from {origin.get('checkpoint')}, which is gone, as is the run that saved it; only steps "
            "after the first checkpoint of the fork can be replayed"
        )
    return find_stretches(Path(str(source)), step, step)

"""What two runs recorded at the same steps, compared: curves, checkpoints and digests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from project.core.digest_file import DIGESTS
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import LoadedCheckpoint, list_by_step, load_checkpoint
from project.study.bisect.explaining import list_names
from project.study.bisect.state import State, differing, mismatched_weights, trained_state
from project.study.digests import Digests, first_difference, read_digests
from project.study.events import Curves, read_curves

Array = np.ndarray


class Exactly:
    """Equality of values and states, bit for bit; NaN is equal to NaN."""

    def compares(self, name: str) -> bool:
        """Return whether the curve of a name can be compared."""
        return True

    def values(self, steps: Array, one: Array, two: Array) -> Array:
        """Return which values of two curves differ at the same steps."""
        are_nan = np.isnan(one) & np.isnan(two)
        return np.asarray((one.view(np.int64) != two.view(np.int64)) & ~are_nan)

    def states(self, step: int, one: State, two: State) -> list[str]:
        """Return the names at which two states after a step differ."""
        return differing(one, two)


EXACTLY = Exactly()


@dataclass(frozen=True)
class Difference:
    """Where two records differ first.

    Args:
        step: the step, as the x of the curves; of a checkpoint, the steps done before it was saved.
        source: what was recorded: `curve`, `checkpoint` or `digest`.
        names: what differs at that step, in causal order.
    """

    step: int
    source: str
    names: list[str]


@dataclass
class Comparison:
    """Two records, compared.

    Args:
        differences: the first difference of each source.
        values: number of the values of curves that both have.
        curves: number of the curves with them.
        checkpoints: the steps of the checkpoints that both have, and whether they are equal.
        digests: number of the digests that both have.
        digest_steps: number of the steps with them.
        digest_kinds: what they are of, such as `parameter`.
        digests_equal: the last step at which they are equal; 0 if there is none.
        only: names of the curves that only one has, by run.
        notes: what could not be read or compared.
    """

    differences: list[Difference] = field(default_factory=list)
    values: int = 0
    curves: int = 0
    checkpoints: dict[int, bool] = field(default_factory=dict)
    digests: int = 0
    digest_steps: int = 0
    digest_kinds: list[str] = field(default_factory=list)
    digests_equal: int = 0
    only: list[list[str]] = field(default_factory=lambda: [[], []])
    notes: list[str] = field(default_factory=list)

    @property
    def first(self) -> Difference | None:
        """The first of the differences."""
        # Digests are of what a step begins with: those of step N + 1 contain a change after step N, when a checkpoint
        # is saved, and values of the validation are logged.
        order = {"digest": (0, 0), "curve": (1, 1), "checkpoint": (1, 2)}
        return min(
            self.differences,
            key=lambda each: (each.step + order[each.source][0], order[each.source][1]),
            default=None,
        )

    def add_states(self, step: int, one: State, two: State, equality: Exactly = EXACTLY) -> None:
        """Add the states of a step."""
        names = equality.states(step, one, two)
        self.checkpoints[step] = not names
        if names and all(each.source != "checkpoint" for each in self.differences):
            self.differences.append(Difference(step, "checkpoint", names))

    def equal_before(self, step: int) -> int:
        """Return the last step at which checkpoints are equal, before the difference of a step; 0 if there is none."""
        return max((each for each, is_equal in self.checkpoints.items() if is_equal and each < step), default=0)


def compare_curves(
    one: Curves,
    two: Curves,
    comparison: Comparison,
    first: int = 0,
    last: int | None = None,
    equality: Exactly = EXACTLY,
) -> None:
    """Add the curves of two runs at the steps that both have to a comparison.

    Args:
        one: the curves of one run.
        two: those of the other.
        comparison: what is added to.
        first: the first step.
        last: the last step; None for no limit.
        equality: says what differs.
    """
    found: dict[str, int] = {}
    for name in sorted(filter(equality.compares, one.keys() & two.keys())):
        steps, first_values, second_values = _common(one[name], two[name])
        is_inside = (steps >= first) & (steps <= (np.inf if last is None else last))
        steps, first_values, second_values = steps[is_inside], first_values[is_inside], second_values[is_inside]
        comparison.values += len(steps)
        comparison.curves += bool(len(steps))
        differs = equality.values(steps, first_values, second_values)
        if differs.any():
            found[name] = int(steps[differs].min())
    comparison.only = [sorted(a.keys() - b.keys()) for a, b in ((one, two), (two, one))]
    if found:
        step = min(found.values())
        comparison.differences.append(Difference(step, "curve", [name for name in found if found[name] == step]))


def compare_checkpoints(runs: Sequence[Path], comparison: Comparison, equality: Exactly = EXACTLY) -> None:
    """Add the states in the checkpoints of two runs that were saved after the same steps to a comparison.

    Raises:
        ConfigError: the runs train different models.
    """
    found = [list_by_step(run / "checkpoints") for run in runs]
    paths = [{step: path for path, step in each.items()} for each in found]
    if not (paths[0].keys() & paths[1].keys()) and all(paths):
        check_models(runs, [load_saved(each[max(each)], comparison) for each in paths])
    for step in sorted(paths[0].keys() & paths[1].keys()):
        loaded = [load_saved(each[step], comparison) for each in paths]
        if loaded[0] is None or loaded[1] is None:
            continue
        check_models(runs, loaded)
        comparison.add_states(step, trained_state(loaded[0].content), trained_state(loaded[1].content), equality)


def compare_runs(runs: Sequence[Path], equality: Exactly = EXACTLY) -> Comparison:
    """Return what the records of two runs have in common, and where they differ.

    Args:
        runs: the run directories.
        equality: says what differs; digests are compared only if that must be exact.

    Raises:
        ConfigError: the runs train different models.
    """
    comparison = Comparison()
    curves = [read_curves(run, comparison.notes) for run in runs]
    compare_checkpoints(runs, comparison, equality)
    compare_curves(curves[0], curves[1], comparison, equality=equality)
    if equality is EXACTLY:
        add_digests(comparison, *(load_digests(run, comparison) for run in runs))
    return comparison


def add_digests(comparison: Comparison, one: Digests, two: Digests) -> None:
    """Add the digests of the steps that two records or replays have in common to a comparison."""
    found = first_difference(one, two)
    comparison.digests, comparison.digest_steps = found.digests, found.steps
    comparison.digest_kinds, comparison.digests_equal = [*found.kinds], found.equal
    if len(one) and len(two) and not found.digests:
        comparison.notes.append("both have digests, but none of the same step, kind and name")
    if found.step is not None:
        comparison.differences.append(Difference(found.step, "digest", [*found.names]))


def load_digests(run: Path, comparison: Comparison) -> Digests:
    """Return the digests that a run recorded; none of a file that is damaged, which is noted."""
    if (run / DIGESTS).exists():
        try:
            return read_digests(run / DIGESTS)
        except ConfigError as error:
            comparison.notes.append(str(error))
    return Digests([])


def newest_state(run: Path) -> State:
    """Return the trained state in the newest checkpoint of a run; an empty one if there is none."""
    loaded = (load_saved(path, Comparison()) for path in list_by_step(run / "checkpoints"))
    return next((trained_state(each.content) for each in loaded if each is not None), {})


def check_models(runs: Sequence[Path], loaded: Sequence[LoadedCheckpoint | None]) -> None:
    """Raise ConfigError if the weights in two checkpoints have other names or shapes."""
    states = [trained_state(each.content) for each in loaded if each is not None]
    if len(states) == 2 and (found := mismatched_weights(*states)):
        raise ConfigError(
            f"{runs[0]} (A) and {runs[1]} (B) train different models, which have no step in common\n{list_names(found)}"
        )


def load_saved(path: Path, comparison: Comparison) -> LoadedCheckpoint | None:
    """Return a checkpoint; None for one that is missing, or damaged, which is noted."""
    try:
        return load_checkpoint(path)
    except FileNotFoundError:  # removed by the run, which goes on
        return None
    except ConfigError as error:
        if path.exists():
            comparison.notes.append(str(error).partition("\n")[0])
        return None


def _common(one: tuple[Array, ...], two: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    """Return the steps that two curves have in common, and the last value of each at them."""
    first, second = ({int(step): value for step, value in zip(each[0], each[1], strict=True)} for each in (one, two))
    steps = sorted(first.keys() & second.keys())
    values = [np.array([each[step] for step in steps], dtype=np.float64) for each in (first, second)]
    return np.array(steps, dtype=np.int64), values[0], values[1]

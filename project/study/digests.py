"""Digests of the steps of a run, read from its digests.bin, and the first at which two runs differ."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from project.core.digest_file import Block, read_blocks


@dataclass(frozen=True)
class StepDigests:
    """Digests of a step.

    Args:
        step: the step, as the x of the curves.
        kind: the function that computed them; digests of other functions cannot be compared.
        values: the digests by name, in causal order: what depends on a tensor comes after it.
    """

    step: int
    kind: str
    values: Mapping[str, int]


class Digests:
    """Digests of a run by step.

    Args:
        blocks: rows of one table each, in the order of the steps.

    Example::

        for step in read_digests(Path("experiments/digits/digests.bin")):
            print(step.step, step.values["parameter net.head.weight"])
    """

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.steps = np.concatenate([np.empty(0, np.uint64), *(block.steps for block in blocks)])
        self._starts = np.cumsum([0, *(len(block.steps) for block in blocks)])

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[StepDigests]:
        for block in self.blocks:
            kind, names = block.table.kind, block.table.names
            for step, row in zip(block.steps.tolist(), block.digests, strict=True):
                yield StepDigests(step, kind, dict(zip(names, row.tolist(), strict=True)))

    def get(self, step: int) -> StepDigests | None:
        """Return the digests of a step; None if there are none."""
        index = int(np.searchsorted(self.steps, step))
        if index == len(self.steps) or int(self.steps[index]) != step:
            return None
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        block, row = self.blocks[number], index - int(self._starts[number])
        values = dict(zip(block.table.names, block.digests[row].tolist(), strict=True))
        return StepDigests(step, block.table.kind, values)


@dataclass(frozen=True)
class DigestComparison:
    """Digests of two runs, compared until the first step at which some differ.

    Args:
        steps: number of steps that both have; of the same kind, with a name in common.
        digests: number of compared digests.
        step: the first step at which some differ; None if all are equal.
        kinds: the first words of the compared names, such as `parameter`.
        equal: the last step at which all that both have are equal; 0 if there is none.
        names: the names that differ at that step, in causal order: the first one is where the runs part.
    """

    steps: int
    digests: int
    step: int | None = None
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    equal: int = 0


def read_digests(path: Path) -> Digests:
    """Return the digests of a run.

    Args:
        path: its digests.bin.

    Raises:
        ConfigError: there is no such file, or it is damaged.
    """
    return Digests([*read_blocks(path)])


def first_difference(one: Digests, two: Digests) -> DigestComparison:
    """Compare the digests that two runs both have, up to the first step at which they differ.

    Example::

        first_difference(read_digests(run / "digests.bin"), read_digests(replayed)).names[0]
    """
    num_steps, compared, equal, kinds = 0, 0, 0, dict[str, None]()
    for first, second in _overlapping(one.blocks, two.blocks):
        positions = {name: number for number, name in enumerate(second.table.names)}
        common = [(number, name) for number, name in enumerate(first.table.names) if name in positions]
        steps, rows, other_rows = np.intersect1d(first.steps, second.steps, assume_unique=True, return_indices=True)
        if first.table.kind != second.table.kind or not common or not len(steps):
            continue
        mine = first.digests[rows][:, [number for number, _ in common]]
        others = second.digests[other_rows][:, [positions[name] for _, name in common]]
        differing = np.flatnonzero((mine != others).any(axis=1))
        end = int(differing[0]) + 1 if len(differing) else len(steps)
        num_steps, compared = num_steps + end, compared + end * len(common)
        kinds |= dict.fromkeys(name.partition(" ")[0] for _, name in common)
        num_equal = end - bool(len(differing))
        equal = int(steps[num_equal - 1]) if num_equal else equal
        if len(differing):
            unequal = mine[end - 1] != others[end - 1]
            names = tuple(name for (_, name), differs in zip(common, unequal, strict=True) if differs)
            return DigestComparison(num_steps, compared, int(steps[end - 1]), names, tuple(kinds), equal)
    return DigestComparison(num_steps, compared, kinds=tuple(kinds), equal=equal)


def _overlapping(one: list[Block], two: list[Block]) -> Iterator[tuple[Block, Block]]:
    """Yield the pairs of blocks that may have steps in common, in the order of the steps."""
    first, second = 0, 0
    while first < len(one) and second < len(two):
        mine, other = one[first], two[second]
        yield mine, other
        if mine.steps[-1] <= other.steps[-1]:
            first += 1
        else:
            second += 1

"""Segments of given lengths."""

from itertools import accumulate, pairwise

from project.study.verify.known_states import Steps


def segments(lengths: list[int]) -> list[Steps]:
    """Return consecutive segments."""
    return [Steps(first, last) for first, last in pairwise(accumulate(lengths, initial=0))]

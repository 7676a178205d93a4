"""Which segments are verified: each with the same probability, as many as fit."""

import pytest

from project.study.verify import verifying
from project.study.verify.verifying import choose_segments
from tests.study.verify.steps import segments


@pytest.mark.parametrize(
    ("lengths", "budget", "number"),
    [
        ([10] * 12, 30, 3),
        ([10] * 12, 39, 3),
        ([10] * 12, 1, 1),
        ([10] * 12, 10**9, 12),
        ([10] * 12, None, 1),
        ([10] * 40, None, 4),
        ([50, 1, 1, 1], 52, 3),
        ([50, 1, 1, 1], 4, 1),
    ],
)
def test_number_of_segments_always_fits(lengths: list[int], budget: int | None, number: int) -> None:
    """Except for the first one; by default, a tenth of the steps."""
    for _ in range(20):
        chosen = choose_segments(segments(lengths), budget)
        assert len(chosen) == number
        assert chosen == sorted(chosen, key=lambda each: each.first)
        assert budget is None or number == 1 or sum(each.number for each in chosen) <= budget


def test_each_segment_has_the_same_probability_whatever_its_length() -> None:
    """Chosen in 1,000 of 2,000 trials; 6 standard deviations are 134."""
    counts = dict.fromkeys(segments([50, 1, 7, 3]), 0)
    for _ in range(2000):
        for segment in choose_segments([*counts], 57):
            counts[segment] += 1
    assert all(abs(count - 1000) < 134 for count in counts.values())


def test_all_processes_of_a_replay_choose_the_same_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one chooses; the others, which it starts, get its random numbers."""
    steps = segments([1] * 100)
    chosen = [choose_segments(steps, 50) for _ in range(2)]
    assert chosen[0] != chosen[1]
    monkeypatch.setattr(verifying, "is_rank_zero", lambda: False)
    assert [choose_segments(steps, 50) for _ in range(2)] == [chosen[1]] * 2

"""Estimated times of batches."""

import pytest

from project.deploy.server.batch_times import BatchTimes


def test_time_is_interpolated_and_grows_with_the_pixels_beyond_what_is_known() -> None:
    times = BatchTimes()
    assert times.estimate(100) == 0
    times.add(100, 0.1)
    assert [times.estimate(pixels) for pixels in (1, 100, 200)] == pytest.approx([0.1, 0.1, 0.2])
    times.add(1000, 0.4)
    assert [times.estimate(pixels) for pixels in (1, 550, 2000)] == pytest.approx([0.1, 0.25, 0.8])


def test_time_follows_the_load_of_the_machine() -> None:
    times = BatchTimes()
    for seconds in [0.1] * 9 + [0.5] * 20:
        times.add(1000, seconds)
    assert times.estimate(1000) == pytest.approx(0.5, rel=0.02)
    times.add(1000, 5.0)  # one that is slow changes little
    assert times.estimate(1000) < 1.5


def test_small_batches_tell_nothing_about_large_ones() -> None:
    times = BatchTimes()
    times.add(1_000_000, 1.0)
    for _ in range(1000):
        times.add(25, 0.01)  # 400 microseconds a pixel
    assert times.estimate(1_000_000) == pytest.approx(1.0)
    assert times.estimate(25) == pytest.approx(0.01)

"""Garbage collection is delayed during the start, and works as before afterwards."""

import gc
from collections.abc import Iterator

import pytest

from project.core import garbage
from project.core.garbage import delaying_collection, exclude_objects


@pytest.fixture(autouse=True)
def unfrozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start without excluded objects, which the tests have; exclude them again for the tests that follow."""
    monkeypatch.setattr(gc, "get_freeze_count", gc.get_freeze_count.__wrapped__)  # type: ignore[attr-defined]
    gc.unfreeze()
    yield
    gc.enable()
    gc.freeze()


@pytest.mark.parametrize("enabled", [True, False])
def test_objects_of_the_start_are_excluded_until_the_end(enabled: bool) -> None:
    if not enabled:  # by cli.py
        gc.disable()
    with delaying_collection() as begin:
        assert not gc.isenabled()
        created = [[number] for number in range(10)]
        begin()
        assert gc.isenabled()
        assert gc.get_freeze_count() > len(created)
    assert (gc.isenabled(), gc.get_freeze_count()) == (enabled, 0)


def test_state_is_restored_after_an_error() -> None:
    with pytest.raises(ValueError, match="on purpose"), delaying_collection():
        raise ValueError("on purpose")
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, 0)


def test_what_the_caller_excluded_stays_excluded_and_nothing_else() -> None:
    """Else the garbage of each of many calls would stay."""
    gc.freeze()
    excluded = gc.get_freeze_count()
    with delaying_collection() as begin:
        created = [[number] for number in range(1000)]
        begin()
        assert gc.get_freeze_count() < excluded + len(created)
    assert gc.get_freeze_count() > excluded / 2


def test_objects_excluded_by_name_need_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting them takes 30 ms of each start."""
    monkeypatch.setattr(garbage, "_is_excluded", False)
    exclude_objects()
    excluded = gc.get_freeze_count()
    with monkeypatch.context() as patch:
        patch.setattr(gc, "get_freeze_count", lambda: pytest.fail("counted"))
        with delaying_collection() as begin:
            begin()
    assert gc.get_freeze_count() > excluded / 2

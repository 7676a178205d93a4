"""Garbage collection, delayed during the start: many objects are created, and few of them become garbage."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_is_excluded = False  # whether `exclude_objects` was called


def exclude_objects() -> None:
    """Have collections skip all objects that exist, for as long as this process runs."""
    global _is_excluded
    gc.freeze()
    _is_excluded = True


@contextmanager
def delaying_collection() -> Iterator[Callable[[], None]]:
    """Yield a function; until it is called, collect no garbage in the `with` block.

    After the call, collections skip the objects that were created before it, unless the caller already excluded
    objects (`exclude_objects`, `gc.freeze`). The state before the `with` block is restored.
    """
    # Counting takes 30 ms once torch is imported.
    was_enabled, excluded = gc.isenabled(), _is_excluded or gc.get_freeze_count() > 0
    gc.disable()

    def begin() -> None:
        if not excluded:
            gc.freeze()
        gc.enable()

    try:
        yield begin
    finally:
        if not excluded:
            gc.unfreeze()
        if was_enabled:
            gc.enable()
        else:
            gc.disable()

"""Garbage collection, delayed during the start: many objects are created, and few of them become garbage."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def delaying_collection() -> Iterator[Callable[[], None]]:
    """Yield a function; until it is called, collect no garbage in the `with` block.

    After the call, collections skip the objects that were created before it, unless the caller already excluded
    objects (`gc.freeze`). The state before the `with` block is restored.
    """
    was_enabled, excluded = gc.isenabled(), gc.get_freeze_count()
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

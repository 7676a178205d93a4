"""Largest picture of an exported model: `python -m project.deploy.memory MODEL SECONDS`."""

import os
import re
import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from project.deploy.inputs import Picture
from project.deploy.model_card import Length, ModelCard
from project.deploy.predictor import Predictor

_LIMIT = 10**9  # bytes of a process
_SMALLEST, _GROWTH = 64, 1.2  # of height and width


def free_pictures(card: ModelCard) -> list[str]:
    """Return the inputs that are pictures of any size."""
    return [name for name, raw in card.inputs.items() if isinstance(raw, Picture) and _is_free(card.shapes[name])]


def print_sizes(path: Path, seconds: float) -> None:
    """Print growing sizes of square pictures, one a line, as long as this process needs at most 1 GB for them.

    Args:
        path: the exported model, which has pictures of any size.
        seconds: the time after which no larger picture is tried.
    """
    start, size = perf_counter(), _next_size(Predictor(path).card, 0)
    while size is not None:
        began = perf_counter()
        # Its memory is that of the first call: in a session that has run before, the memory of smaller sizes remains.
        predictor = Predictor(path, threads=os.cpu_count() or 1)
        predictor.run(_batch(predictor, size))
        if _peak_memory() > _LIMIT:
            return
        print(size, flush=True)
        now = perf_counter()
        if now - start + _GROWTH**2 * (now - began) > seconds:
            return
        size = _next_size(predictor.card, size)


def _is_free(lengths: tuple[Length, ...]) -> bool:
    return all(length.minimum != length.maximum for length in lengths[1:])


def _next_size(card: ModelCard, size: int) -> int | None:
    """Return a larger size that all pictures may have; None if there is none."""
    lengths = [length for name in free_pictures(card) for length in card.shapes[name][1:]]
    wanted = max(_SMALLEST, round(_GROWTH * size))
    candidates = (*range(wanted, wanted + 1024), *range(wanted - 1, size, -1))  # the latter below a maximum
    return next((each for each in candidates if all(length.allows(each) for length in lengths)), None)


def _batch(predictor: Predictor, size: int) -> dict[str, np.ndarray]:
    card, batch = predictor.card, {}
    for name, lengths in card.shapes.items():
        shape = (lengths[0].minimum, size, size) if name in free_pictures(card) else [each.minimum for each in lengths]
        batch[name] = np.zeros((1, *shape), dtype=predictor.dtypes[name])
    return batch


def _peak_memory() -> int:
    """Return the most bytes that this process has needed so far."""
    status = Path("/proc/self/status")  # Linux: getrusage would count the process that started this one
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return 1024 * int(peak[1])
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print_sizes(Path(sys.argv[1]), float(sys.argv[2]))

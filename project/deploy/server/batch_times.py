"""How long batches take, learned from the last ones."""

import numpy as np

_WEIGHT = 0.2  # of a new measurement in the mean of its kind


class BatchTimes:
    """Seconds of a batch by its number of pixels.

    Batches of a similar size, from one power of two to the next, share a mean. It changes with the load of the machine,
    but not with batches of other sizes: a thousand small ones tell nothing about a large one.
    """

    def __init__(self) -> None:
        self._means: dict[int, np.ndarray] = {}  # pixels and seconds, by the number of bits of the pixels
        self._points = np.zeros((2, 0))  # the means, sorted by pixels

    def add(self, pixels: int, seconds: float) -> None:
        """Remember the time of a batch."""
        measured, size = np.array([pixels, seconds]), pixels.bit_length()
        mean = self._means.get(size, measured)
        self._means[size] = mean + _WEIGHT * (measured - mean)
        self._points = np.array([self._means[each] for each in sorted(self._means)]).T

    def estimate(self, pixels: int) -> float:
        """Return the seconds of a batch; 0 as long as nothing is known."""
        known, seconds = self._points
        if not known.size:
            return 0.0
        if pixels > known[-1]:
            return float(seconds[-1] * pixels / known[-1])
        return float(np.interp(pixels, known, seconds))

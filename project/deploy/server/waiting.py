"""Samples that wait for the net, and the order in which they get it."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import NamedTuple

import numpy as np

from project.deploy.inputs import Picture
from project.deploy.model_card import ModelCard
from project.deploy.server.batch_times import BatchTimes

Arrays = Mapping[str, np.ndarray]
Shapes = tuple[tuple[int, ...], ...]

# More samples make a batch faster as long as it is short. From here on they gain nothing (denoising by a U-Net takes
# 8.1 ms for a picture of 128 x 128, and 8.4 to 8.9 ms for each of 4 to 16), but need memory, and delay the others.
_LONGEST = 0.02
_PIXELS = 32 * 224 * 224  # of a batch, where the card does not say how many fit in 1 GB


@dataclass(eq=False)
class WaitingRequest:
    """Samples that are answered together.

    Args:
        samples: arrays of each.
        answer: becomes the outputs of all samples, or a Problem.
        outputs: outputs so far, by the number of the sample.
    """

    samples: Sequence[Arrays]
    answer: asyncio.Future[list[Arrays]]
    outputs: dict[int, Arrays] = field(default_factory=dict)

    def add(self, number: int, outputs: Arrays) -> None:
        """Add the outputs of a sample; the last ones complete the answer."""
        self.outputs[number] = outputs
        if len(self.outputs) == len(self.samples) and not self.answer.done():
            self.answer.set_result([self.outputs[each] for each in range(len(self.samples))])

    def fail(self, problem: Exception) -> None:
        """Answer with a problem, unless there is an answer."""
        if not self.answer.done():
            self.answer.set_exception(problem)


class WaitingSample(NamedTuple):
    """A sample that waits: its place in the order of arrival, its request, and its number there."""

    arrival: int
    request: WaitingRequest
    number: int

    @property
    def arrays(self) -> Arrays:
        return self.request.samples[self.number]


class WaitingSamples:
    """Samples in the order of their arrival, of which those of the same shapes go together.

    Args:
        card: description of the model, whose largest picture bounds the batches.
        times: how long batches take.
    """

    def __init__(self, card: ModelCard, times: BatchTimes) -> None:
        self._card, self._times = card, times
        self._most_pixels = _PIXELS if card.largest_picture is None else card.largest_picture**2
        self._queues: dict[Shapes, deque[WaitingSample]] = {}
        self._arrivals = count()

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, request: WaitingRequest) -> None:
        """Add the samples of a request."""
        for number, sample in enumerate(request.samples):
            waiting = WaitingSample(next(self._arrivals), request, number)
            self._queues.setdefault(self._shapes(sample), deque()).append(waiting)

    def remove(self, request: WaitingRequest) -> None:
        """Remove the samples of a request that nobody waits for."""
        for shapes in {self._shapes(sample) for sample in request.samples} & self._queues.keys():
            kept = deque(each for each in self._queues[shapes] if each.request is not request)
            if kept:
                self._queues[shapes] = kept
            else:
                del self._queues[shapes]

    def take_batch(self) -> list[WaitingSample]:
        """Remove and return the sample that has waited longest, and others of its shapes in their order.

        So a sample waits for those that came before it, and at most for others in their batches: neither large
        pictures nor small ones keep the others from the net.
        """
        shapes = min(self._queues, key=lambda each: self._queues[each][0].arrival)
        queue, pixels = self._queues[shapes], self._count_pixels(shapes)
        batch = [queue.popleft()]
        while queue and self._may_have(len(batch) + 1, pixels):
            batch.append(queue.popleft())
        if not queue:
            del self._queues[shapes]
        return batch

    def estimate_seconds(self) -> float:
        """Return how long the net needs for all of them."""
        return sum(self._estimate(len(queue), self._count_pixels(shapes)) for shapes, queue in self._queues.items())

    def count_pixels(self, sample: Arrays) -> int:
        """Return the pixels of a sample: height x width of a picture, or the number of all numbers of another input.

        Of several inputs, it is the largest.
        """
        return self._count_pixels(self._shapes(sample))

    def _may_have(self, count: int, pixels: int) -> bool:
        return count * pixels <= self._most_pixels and self._estimate(count, pixels) <= _LONGEST

    def _estimate(self, count: int, pixels: int) -> float:
        """Return the seconds of samples of a size: at most those of one after the other.

        Else a batch that once was slow, such as while the machine was busy, would never be tried again.
        """
        return min(self._times.estimate(count * pixels), count * self._times.estimate(pixels))

    def _shapes(self, sample: Arrays) -> Shapes:
        return tuple(sample[name].shape for name in self._card.inputs)

    def _count_pixels(self, shapes: Shapes) -> int:
        kinds = self._card.inputs.values()
        return max(
            prod(shape[1:] if isinstance(kind, Picture) else shape) for kind, shape in zip(kinds, shapes, strict=True)
        )

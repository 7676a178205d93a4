"""Batches of samples that wait while the net works: no timer delays the first one."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import numpy as np

from project.deploy.inputs import InputError
from project.deploy.model_card import Length, ModelCard
from project.deploy.predictor import Predictor
from project.deploy.server.batch_times import BatchTimes
from project.deploy.server.metrics import Metrics
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits
from project.deploy.server.waiting import Arrays, WaitingRequest, WaitingSample, WaitingSamples

_LENGTHS = (8, 128)  # of the samples that are computed at the start, where the net takes them
_MOST_VALUES = 128**2  # of them, in the dimensions that are free: five of 128 would need 128 GB
_log = logging.getLogger(__name__)


class Batcher:
    """Samples that wait, and the task that takes batches of them.

    Args:
        predictor: computes the batches, in a thread.
        limits: bound the wait.
        metrics: counts batches and waiting samples.
    """

    def __init__(self, predictor: Predictor, limits: Limits, metrics: Metrics) -> None:
        self.predictor, self.limits, self.metrics = predictor, limits, metrics
        self._times = BatchTimes()
        self._waiting = WaitingSamples(predictor.card, self._times)
        self._running: tuple[float, float] | None = None  # start of the batch in the thread, and its estimated seconds
        self._pool = ThreadPoolExecutor(1, "net")
        self._has_changed = asyncio.Event()  # a sample has come, or the end
        self._is_draining = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Compute samples of zeros, which makes the first request fast and its time known; then take requests."""
        small, large = (make_zeros(self.predictor, length) for length in _LENGTHS)
        is_same = self._waiting.count_pixels(small) == self._waiting.count_pixels(large)
        # The first run is slower than those that follow: its time is not remembered.
        (result,) = await asyncio.get_running_loop().run_in_executor(self._pool, self._compute, [small])
        for sample in [small] if is_same else [small, large]:
            (result,) = await self._run([sample])
        if isinstance(result, Exception):  # its inputs may have to have equal lengths, of which the card says nothing
            _log.warning("the net takes no sample of zeros: %s", result)
        self._task = asyncio.create_task(self._work())

    async def drain(self) -> None:
        """Answer what waits, take nothing new, and end the task and its thread."""
        self._is_draining = True
        self._has_changed.set()
        if self._task is not None:
            await self._task
        self._pool.shutdown(wait=False)

    async def predict(self, samples: Sequence[Arrays]) -> list[Arrays]:
        """Return all outputs of the graph for each sample.

        If it is cancelled, its samples are dropped. Those that are being computed cannot be stopped; the estimated
        wait of later requests contains their time.

        Raises:
            Problem: the net does not take a sample (422), or fails (500), or the wait would be too long (503).
        """
        if not samples:
            return []
        self.check_wait(sum(self._times.estimate(self._waiting.count_pixels(sample)) for sample in samples))
        request = WaitingRequest(samples, asyncio.get_running_loop().create_future())
        self._waiting.add(request)
        self._note_change()
        try:
            return await request.answer
        except asyncio.CancelledError:
            self._waiting.remove(request)
            self._note_change()
            raise

    def check_wait(self, seconds: float = 0.0) -> None:
        """Raise a Problem (503) if a request would wait too long; without an argument, before its body is read.

        Args:
            seconds: estimated time of the request. It may be longer than the limit if nothing else waits or runs:
                later it would be no shorter.
        """
        if self._is_draining:
            raise Problem(503, "the server is stopping", {"Retry-After": "1"})
        ahead = self.estimate_wait()
        if ahead > 0 and ahead + seconds > self.limits.wait_seconds:
            retry = max(1, ceil(ahead))
            detail = f"too many requests are waiting: those before this one take about {retry} s"
            raise Problem(503, detail, {"Retry-After": str(retry)})

    def estimate_wait(self) -> float:
        """Return the estimated seconds until all samples are answered that wait now."""
        seconds = self._waiting.estimate_seconds()
        if self._running is not None:
            start, estimate = self._running
            # A batch that is late is expected to need as long again as it is late.
            seconds += abs(estimate - (asyncio.get_running_loop().time() - start))
        return seconds

    async def _work(self) -> None:
        """Compute batches until the end."""
        while self._waiting or not self._is_draining:
            if not self._waiting:
                self._has_changed.clear()
                await self._has_changed.wait()
                continue
            batch = self._waiting.take_batch()
            self.metrics.observe_batch(len(batch))
            self.metrics.set_waiting(len(self._waiting))
            try:
                results = await self._run([each.arrays for each in batch])
                for sample, result in zip(batch, results, strict=True):
                    self._answer(sample, result)
            except Exception as error:  # this task has to go on, and no request may wait for ever
                for sample in batch:
                    self._answer(sample, error)

    async def _run(self, samples: Sequence[Arrays]) -> list[Arrays | Exception]:
        """Compute samples of the same shapes in the thread, and remember how long it took."""
        loop, pixels = asyncio.get_running_loop(), len(samples) * self._waiting.count_pixels(samples[0])
        start = loop.time()
        self._running = start, self._times.estimate(pixels)
        try:
            results = await loop.run_in_executor(self._pool, self._compute, samples)
        finally:
            self._running = None
        if not any(isinstance(result, Exception) for result in results):
            self._times.add(pixels, loop.time() - start)
        return results

    def _compute(self, samples: Sequence[Arrays]) -> list[Arrays | Exception]:
        """Return the outputs of each sample; if they fail together, each goes alone, and only the bad one fails."""
        try:
            return [*self.predictor.run_samples(samples)]
        except Exception as error:
            return [error] if len(samples) == 1 else [self._compute([sample])[0] for sample in samples]

    def _answer(self, sample: WaitingSample, result: Arrays | Exception) -> None:
        if not isinstance(result, Exception):
            sample.request.add(sample.number, result)
            return
        if isinstance(result, InputError):
            prefix = f"sample {sample.number}: " if len(sample.request.samples) > 1 else ""
            problem = Problem(422, f"{prefix}{result}")
        else:
            _log.error("the net failed", exc_info=result)
            problem = Problem(500, "the net failed; the server's log says why")
        sample.request.fail(problem)
        self._waiting.remove(sample.request)

    def _note_change(self) -> None:
        self.metrics.set_waiting(len(self._waiting))
        self._has_changed.set()


def make_zeros(predictor: Predictor, length: int) -> dict[str, np.ndarray]:
    """Return a sample of zeros, whose free dimensions have a length, or less if they are many, or else one near it."""
    card: ModelCard = predictor.card
    zeros = {}
    for name, lengths in card.shapes.items():
        free = sum(allowed.minimum != allowed.maximum for allowed in lengths)
        wanted = min(length, int(_MOST_VALUES ** (1 / max(1, free))))
        zeros[name] = np.zeros([_nearest(allowed, wanted) for allowed in lengths], predictor.dtypes[name])
    return zeros


def _nearest(allowed: Length, length: int) -> int:
    """Return the largest length that is allowed and at most a length, or the smallest that is allowed."""
    most = length if allowed.maximum is None else min(length, allowed.maximum)
    return allowed.minimum + max(0, most - allowed.minimum) // allowed.step * allowed.step

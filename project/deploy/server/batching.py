"""Batches of samples that wait while the net works: no timer delays the first one."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from project.deploy.predictor import Predictor
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits

Arrays = Mapping[str, np.ndarray]


class Batcher:
    """A queue of samples, and the task that takes batches from it.

    Args:
        predictor: computes the batches, in a thread.
        limits: bounds of the wait.
    """

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.predictor, self.limits = predictor, limits
        self._waiting: asyncio.Queue[tuple[Arrays, asyncio.Future[Arrays]]] = asyncio.Queue(64)
        self._pool = ThreadPoolExecutor(1, "net")

    async def predict(self, samples: Sequence[Arrays]) -> list[Arrays]:
        """Return all outputs of the graph for each sample.

        Raises:
            Problem: too many samples are waiting (503), or the net takes too long (504).
        """
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in samples]
        for sample, future in zip(samples, futures, strict=True):
            if self._waiting.full():
                raise Problem(503, "too many requests are waiting", {"Retry-After": "1"})
            self._waiting.put_nowait((sample, future))
        try:
            return await asyncio.wait_for(asyncio.gather(*futures), self.limits.answer_seconds)
        except TimeoutError:
            raise Problem(504, f"the net did not answer within {self.limits.answer_seconds:g} s") from None

    async def run(self) -> None:
        """Compute batches until the task is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            taken = [await self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            samples = [sample for sample, _ in taken]
            outputs = await loop.run_in_executor(self._pool, self.predictor.run_samples, samples)
            for (_, future), output in zip(taken, outputs, strict=True):
                if not future.done():
                    future.set_result(output)

"""Many requests to a real net."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from project.deploy.predictor import Predictor
from project.deploy.server.batching import Batcher
from project.deploy.server.metrics import Metrics
from project.deploy.server.problems import Problem
from project.deploy.server.settings import Limits


@pytest.mark.slow
def test_ten_thousand_requests_have_their_answers_in_flat_memory(model: Path) -> None:
    """Of all sizes, with clients that leave, and samples that the net does not take; nothing is lost or mixed up."""
    predictor, random = Predictor(model), Random(0)
    counts: Counter[str] = Counter()

    async def send(batcher: Batcher, number: int) -> None:
        kind = random.choices(["good", "bad", "leaves"], [8, 1, 1])[0]
        sizes = [(2 * random.randint(2, 6), 2 * random.randint(2, 6)) for _ in range(random.randint(1, 4))]
        samples = [
            {
                "image": np.full((1 + (kind == "bad"), *size), 0.25, np.float32),
                "offset": np.array([number, row], np.float32),
            }
            for row, size in enumerate(sizes)
        ]
        task = asyncio.create_task(batcher.predict(samples))
        if kind == "leaves":
            await asyncio.sleep(0)
            task.cancel()
        try:
            outputs = await task
        except Problem as problem:
            kind = f"{kind} {problem.status}"
        except asyncio.CancelledError:
            assert kind == "leaves"
        else:
            assert kind == "good"
            expected = [[number + 0.25, row + 0.25] for row in range(len(sizes))]
            assert [output["net_shifted"].tolist() for output in outputs] == expected
        counts[kind] += 1

    async def main() -> None:
        batcher = Batcher(predictor, Limits(), Metrics(1).for_worker(0))
        await batcher.start()
        numbers, memory = iter(range(10_000)), []

        async def client() -> None:
            for number in numbers:
                await send(batcher, number)
                if number in (3000, 9999):
                    memory.append(read_memory())

        await asyncio.gather(*(client() for _ in range(32)))
        assert batcher.estimate_wait() == 0
        await batcher.drain()
        assert memory[1] - memory[0] < 10_000_000

    asyncio.run(main())
    assert counts.total() == 10_000
    assert counts.keys() == {"good", "bad 422", "leaves"}


def read_memory() -> int:
    """Return the bytes of memory of this process; 0 if the system does not say."""
    status = Path("/proc/self/status")
    return 1024 * int(status.read_text().partition("VmRSS:")[2].split()[0]) if status.exists() else 0

"""Seeds of everything random, computed from the run's seed and the position in the run.

A checkpoint need not contain the state of any random generator: each epoch's order, each sample and each step has a
seed of its own, so a resumed run draws the numbers that the uninterrupted run would have drawn.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

# Stored: all random numbers of a run depend on these texts. A change makes old checkpoints resume inexactly.
ORDER, SAMPLE, BATCH, COLLATE, STREAM, STEP = "order", "sample", "batch", "collate", "stream", "step"
FIT, EPOCH, BATCH_AUGMENTATION = "fit", "epoch", "batch augmentation"
EPOCH_START, EPOCH_END, VALIDATION_START = "epoch start", "epoch end", "validation start"

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the increment of splitmix64


def seed_run(seed: int) -> None:
    """Seed python, numpy and torch, also in workers; called before anything is built."""
    pl.seed_everything(seed, workers=True, verbose=False)


def derive_seed(*parts: int | str) -> int:
    """Return a number in [0, 2**63) that is a hash of the parts, the same on every machine.

    Example::

        derive_seed(0, ORDER, epoch)
    """
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def derive_seeds(numbers: Sequence[int], *parts: int | str) -> list[int]:
    """Return a seed for each of `numbers`, with one hash of the parts for all."""
    mixed = splitmix64(np.uint64(derive_seed(*parts)) + np.asarray(numbers, dtype=np.uint64) * _GOLDEN)
    seeds: list[int] = (mixed >> np.uint64(1)).tolist()
    return seeds


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each value (the finalizer of splitmix64: Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def seed_all(*parts: int | str, device: torch.device | None = None) -> None:
    """Seed python, numpy and torch with a hash of the parts, on the CPU and on a device."""
    set_seed(derive_seed(*parts), device)


def set_seed(seed: int, device: torch.device | None = None) -> None:
    """Seed python, numpy and torch, on the CPU and on a device."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also looks at every backend
    if device is not None and device.type != "cpu":
        getattr(torch, device.type).manual_seed(seed)


def seed_step(trainer: pl.Trainer, seed: int, stage: str, *position: int) -> None:
    """Seed a step of this process."""
    seed_all(seed, STEP, stage, *position, trainer.global_rank, device=trainer.strategy.root_device)


def batches_done(trainer: pl.Trainer) -> int:
    """Return the number of training batches done, including those before a resume.

    Not `global_step`, which counts accumulated batches as one, nor `total_batch_idx`, which Lightning does not reset
    after an exception.
    """
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return int(progress.processed)

"""Where random numbers come from: everything random is computed from the run's seed and from where the run stands.

Nothing random has a state that a checkpoint would have to keep: each epoch's order, each fetch of a sample and each
step begin with a seed of their own, so a run that goes on draws what it would have drawn.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the step of splitmix64


def seed_run(seed: int) -> None:
    """Seeds python, numpy and torch before anything is built, in the workers too."""
    pl.seed_everything(seed, workers=True, verbose=False)


def derive(*parts: int | str) -> int:
    """A number in [0, 2**63) that depends on the parts and looks random, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def derive_each(numbers: Sequence[int], *parts: int | str) -> list[int]:
    """One such number for each of `numbers`, in a fraction of the time."""
    mixed = mix(np.uint64(derive(*parts)) + np.asarray(numbers, dtype=np.uint64) * _GOLDEN)
    seeds: list[int] = (mixed >> np.uint64(1)).tolist()
    return seeds


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mixes the bits of each value (the finalizer of splitmix64: Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def seed_all(*parts: int | str, device: torch.device | None = None) -> None:
    """Seeds python, numpy and torch from the parts, on the CPU and on the device."""
    seed_with(derive(*parts), device)


def seed_with(seed: int, device: torch.device | None = None) -> None:
    """Seeds python, numpy and torch, on the CPU and on the device."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed looks at every backend: a hundred times slower
    if device is not None and device.type != "cpu":
        getattr(torch, device.type).manual_seed(seed)


class StepSeeds(Callback):
    """Seeds every step, in training and elsewhere, right behind the fetch of its batch, and the hooks around an epoch.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # A hook of a batch would come after its transfer to the device, where augmentations may draw.
        training: Any = trainer.fit_loop.epoch_loop
        self._seed_behind_fetches(trainer, training, "train", lambda: batches_done(trainer))
        for what, loop in (
            ("val", training.val_loop),
            ("val", trainer.validate_loop),
            ("eval", trainer.test_loop),
            ("predict", trainer.predict_loop),
        ):
            self._seed_behind_fetches(trainer, loop, what, lambda loop=loop: loop.batch_progress.current.ready)  # type: ignore[misc]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, "epoch start", trainer.current_epoch)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, "validation start", batches_done(trainer))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        seed_step(trainer, self.seed, "epoch end", trainer.current_epoch)

    def _seed_behind_fetches(self, trainer: pl.Trainer, loop: Any, what: str, number: Callable[[], int]) -> None:
        after_fetch = loop._on_after_fetch

        def seed() -> None:
            after_fetch()
            seed_step(trainer, self.seed, what, number())

        loop._on_after_fetch = seed


def seed_step(trainer: pl.Trainer, seed: int, what: str, *where: int) -> None:
    """Seeds a step, for this process."""
    seed_all(seed, "step", what, *where, trainer.global_rank, device=trainer.strategy.root_device)


def batches_done(trainer: pl.Trainer) -> int:
    """How many training batches the run has behind it, resumed or not.

    Two accumulated batches share `global_step`, and Lightning does not roll `total_batch_idx` back after an exception.
    """
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress.total
    return int(progress.processed)

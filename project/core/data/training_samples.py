"""The training set as components that are fitted to it see it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from lightning_fabric.utilities.data import sized_len
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset

from project.core.data.rows import require_dict
from project.core.data.seeding import EPOCH, SAMPLE, derive_seeds, seed_all, set_seed
from project.core.data.streams import Stream
from project.core.data.workers import prepare_worker, raise_from_dataset, receive, start_method
from project.datasets.base import EpochSamples

_PATH, _CHUNK = "data.train", 32
Sample = dict[str, Any]
Track = Callable[[Iterable[Sample], int | None], Iterable[Sample]]


class TrainingSamples:
    """What `fit_to` gets: the samples of the training set, with its augmentation, and the attributes of the dataset.

    It has a length, returns single samples by index, and iterates over all of them in order, which loads them in
    `data.num_workers` processes. The samples are those of the first epoch, with its random numbers; the state of the
    generators and of an iterable dataset does not change. What is fitted does not depend on workers, and on nothing but
    the yaml.

    Args:
        dataset: the dataset.
        seed: seed of the run.
        num_workers: worker processes that load the samples of an iteration.
        inputs: further names of tensors in the samples: of an argument of the component, and of the tensor it gets.
        track: shows the progress of an iteration, given the samples and their number.

    Example::

        labels = torch.stack([sample["label"] for sample in samples])
    """

    def __init__(
        self,
        dataset: Any,
        seed: int,
        num_workers: int = 0,
        inputs: Mapping[str, str] | None = None,
        track: Track = lambda samples, count: samples,
    ) -> None:
        self.dataset, self.num_workers, self.inputs, self.track = dataset, num_workers, inputs or {}, track
        self.seeded = _SeededSamples(dataset, seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        with isolate_rng(include_cuda=False):
            return self._name(self.seeded[index])

    def __iter__(self) -> Iterator[Sample]:
        return map(self._name, self.track(self._load(), sized_len(self.dataset)))

    def __getattr__(self, name: str) -> Any:
        # The labels that the dataset knows are those of the tensor `label`.
        if name.startswith("__") or (name == "labels" and "label" in self.inputs):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def _load(self) -> Iterator[Sample]:
        if isinstance(self.dataset, IterableDataset):
            return self._read_stream()
        if not self.num_workers:
            return chain.from_iterable(map(self._load_chunk, range(0, len(self), _CHUNK)))
        generator = torch.Generator().manual_seed(0)  # without one, the loader draws from the global generator
        workers: dict[str, Any] = {"num_workers": self.num_workers, "worker_init_fn": prepare_worker}
        workers["multiprocessing_context"] = start_method()
        loader: Any = DataLoader(self.seeded, batch_size=None, collate_fn=_identity, generator=generator, **workers)
        return receive(iter(loader), self.seeded.location)

    def _load_chunk(self, start: int) -> list[Sample]:
        with isolate_rng(include_cuda=False):  # takes longer than to load a small sample
            return [self.seeded[index] for index in range(start, min(start + _CHUNK, len(self)))]

    def _read_stream(self) -> Iterator[Sample]:
        stream = Stream(self.dataset, _PATH, self.seeded.seed, rank=0, is_training=True)
        state, samples = deepcopy(self.dataset.state_dict()) if stream.is_stateful else None, iter(stream)
        try:
            while True:
                with isolate_rng(include_cuda=False):
                    try:
                        sample = next(samples)
                    except StopIteration:
                        return
                yield sample
        finally:  # also if `fit_to` does not read all samples
            if state is not None:
                self.dataset.load_state_dict(state)

    def _name(self, sample: Sample) -> Sample:
        require_dict(sample, sample, self.seeded.location)
        return sample | {argument: sample[name] for argument, name in self.inputs.items() if name in sample}


class _SeededSamples(TorchDataset[Sample]):
    """Samples of the first epoch, with its random numbers; workers get a copy.

    Args:
        dataset: the dataset.
        seed: seed of the run.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self.location = f"{_PATH} ({type(dataset).__name__})"
        self.samples, self.has_epoch = EpochSamples(dataset), False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        if not self.has_epoch:
            seed_all(self.seed, _PATH, EPOCH, 0)
            self.samples.set_epoch(0)
            self.has_epoch = True
        (seed,) = derive_seeds([index], self.seed, _PATH, SAMPLE, 0)
        set_seed(seed)
        try:
            sample: Sample = self.samples.load(index)
        except BaseException as error:
            raise_from_dataset(error, f"{self.location}, sample {index}")
        return sample


def _identity(sample: Any) -> Any:
    return sample

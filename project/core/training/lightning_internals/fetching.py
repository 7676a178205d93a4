"""Fetching of training batches where the announced number of batches may be wrong."""

from contextlib import suppress
from typing import Any

from pytorch_lightning.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from torch.utils.data import DataLoader, IterableDataset


class LookAheadFetcher(_DataFetcher):
    """Fetcher that loads one batch ahead, and so knows which batch is the last, even before the announced length.

    Lightning's own does so only without a length; with one, it would not see the end of an epoch that ends earlier.

    Args:
        old: the fetcher that this one replaces; it has fetched nothing.
        loop: the loop over the batches.
    """

    def __init__(self, old: _DataFetcher, loop: _TrainingEpochLoop) -> None:
        super().__init__()
        self.loop = loop
        self._ahead: list[Any] = []
        self.setup(old.combined_loader)
        self.iterator = old.iterator
        self.reset()

    def __next__(self) -> Any:
        batch = self._ahead.pop() if self._ahead else super().__next__()
        if self.fetched < (self.length or 0):
            with suppress(StopIteration):
                self._ahead.append(super().__next__())
        else:
            self.loop._on_before_fetch()
            self.loop._on_after_fetch()  # the step is seeded after each fetch
        self.done = not self._ahead
        return batch

    def reset(self) -> None:
        super().reset()
        self._ahead = []


def needs_look_ahead(fetcher: _DataFetcher) -> bool:
    """Return whether a fetcher relies on a length that may be wrong."""
    if type(fetcher) is not _PrefetchDataFetcher or fetcher.length is None:
        return False
    return not all(map(has_exact_length, fetcher.combined_loader.flattened))


def has_exact_length(loader: object) -> bool:
    """Return whether a loader has as many batches as it announces, in all epochs."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return False
    samplers = [sampler for sampler in (loader.sampler, loader.batch_sampler) if sampler is not None]
    # A sampler of the user may yield fewer batches than it announces.
    return all(
        type(each).__module__.startswith("torch.") or getattr(each, "has_exact_length", False) for each in samplers
    )

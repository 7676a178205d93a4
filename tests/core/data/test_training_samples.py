"""What components are fitted to are the samples of the first epoch of the training."""

from typing import Any

import pytest
import torch

from project.core.data.loading import build_loader
from project.core.data.training_samples import TrainingSamples
from tests.core.random_components import Noisy, NoisyEpochs, NoisyStream


class NoisyEpochStream(NoisyStream):
    """Stream that gets its epoch."""

    def set_epoch(self, epoch: int) -> None:
        assert self.next == 0
        self.offset = epoch + float(torch.rand(()))


@pytest.mark.parametrize(
    "dataset", [Noisy(12), NoisyEpochs(12), NoisyEpochStream(12)], ids=lambda each: type(each).__name__
)
def test_samples_are_those_of_the_first_epoch(dataset: Any) -> None:
    """A part of the samples, such as the first thousand, leaves no trace in the dataset either."""
    state, samples = torch.get_rng_state(), TrainingSamples(dataset, seed=3)
    next(iter(samples))
    images = [sample["image"] for sample in samples]
    assert torch.equal(torch.get_rng_state(), state)
    loader = build_loader(dataset, "data.train", 4, seed=3, is_training=True)
    batches = list(loader)
    trained = torch.cat([batch["image"] for batch in batches])
    order = torch.cat([batch["index"] for batch in batches]).tolist() if "index" in batches[0] else range(12)
    assert len(images) == len(trained) == 12
    for index, image in zip(order, trained, strict=True):
        assert torch.equal(images[index], image)

"""What is recorded of the inputs of a net, and what it must not change."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.data.datamodule import DataModule
from project.core.run.recorded_inputs import find_inputs
from project.datasets.base import Dataset, Numbers


class Opened(Dataset):
    """Points of a file that is opened on the first access."""

    is_open = False

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        self.is_open = True
        return {"point": torch.rand(2)}


@pytest.mark.parametrize("workers", [0, 1])
def test_dataset_is_read_where_its_batches_are(workers: int) -> None:
    """A file that this process has open would be shared by the workers, which would read wrong samples."""
    data = DataModule(val={"": Opened}, num_workers=workers)
    module: Any = SimpleNamespace(call_net=SimpleNamespace(sources=[("x", "point", True)]))
    state = torch.random.get_rng_state()
    assert find_inputs(data, "val", module) == {"point": Numbers((2,))}
    assert torch.equal(torch.random.get_rng_state(), state)
    dataset: Any = data.datasets["data.val"]
    assert dataset.is_open == (workers == 0)

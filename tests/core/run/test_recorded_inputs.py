"""What checkpoints say of the inputs of a net is never false; a training need not know it."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from project.core.data.datamodule import DataModule
from project.core.run.recorded_inputs import InputRecorder, NetInputs, find_inputs
from project.datasets.base import Dataset
from project.deploy.inputs import Numbers, Picture
from project.transforms.base import Transform
from tests.core.export import nets


class Same(Transform):
    """Transform that changes nothing."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        return sample


class Uniform(Dataset):
    """Pictures of one value.

    Args:
        size: their height and width.
        said: height and width according to `raw`.
        crops: whether there is augmentation.
    """

    def __init__(self, size: int = 4, said: int | None = None, crops: bool = False) -> None:
        super().__init__({"same": Same()} if crops else {})
        self.size = size
        if said:
            self.raw = {"image": Picture(3, said)}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.full((3, self.size, self.size), index / 8)}


@pytest.mark.parametrize(
    ("train", "val", "recorded"),
    [
        ({}, {"size": 8}, {"image": Numbers((3, 8, 8))}),  # augmentation may change the shape of training samples
        ({}, {"size": 8, "said": 6}, {}),  # what it says is not what the net gets
        ({"said": 6, "crops": True}, None, {"image": Picture(3, 6)}),
        ({"crops": True}, None, {}),  # the shape is that of the crop
        ({}, None, {"image": Numbers((3, 4, 4))}),
    ],
    ids=["validation sample", "contradiction", "raw before augmentation", "augmentation", "training sample"],
)
def test_inputs_that_are_certain_are_recorded(
    train: dict[str, Any], val: dict[str, Any] | None, recorded: dict[str, Any]
) -> None:
    """No training ends because they are not."""
    data = DataModule(partial(Uniform, **train), None if val is None else {"": partial(Uniform, **val)})
    data.training_set()
    recorder = InputRecorder(NetInputs({}, {}))
    trainer: Any = SimpleNamespace(datamodule=data, limit_val_batches=1.0)
    recorder.on_train_start(trainer, nets.supervised(nets.Conv()))
    assert recorder.found.inputs == recorded


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


class Dropping(Opened):
    """Points of which `collate` drops the first."""

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        batch: dict[str, Tensor] = default_collate([sample for sample in samples if sample["index"] > 0])
        return batch

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"point": torch.rand(2), "index": torch.tensor(index)}


def test_first_sample_may_be_dropped() -> None:
    """A training whose batches have other samples would end before its first step."""
    data = DataModule(val={"": Dropping}, batch_size=3)
    module: Any = SimpleNamespace(call_net=SimpleNamespace(sources=[("x", "point", True)]))
    assert find_inputs(data, "val", module) == {"point": Numbers((2,))}

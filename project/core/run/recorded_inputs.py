"""What a net takes and its classes, recorded in checkpoints, so that `predict --files` needs no dataset."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from project.core.data.datamodule import DataModule
from project.core.data.loading import build_loader
from project.core.data.raw_inputs import class_names, raw_inputs
from project.core.data.tensors import Tensors
from project.core.data.workers import prepare_worker, start_method
from project.core.errors import ConfigError
from project.deploy.inputs import Input, to_json


class NetInputs(NamedTuple):
    """Raw inputs of a net by the name of the tensor, and names of the classes by the name of the tensor."""

    inputs: Mapping[str, Input]
    classes: Mapping[str, list[str]]

    def inputs_to_json(self) -> dict[str, Any]:
        """Return descriptions of the inputs."""
        return {name: to_json(raw) for name, raw in self.inputs.items()}


class InputRecorder(Callback):
    """Callback that finds out what the net takes, for the header of checkpoints.

    A sample of the validation set, or without one of the training set, tells it, together with its `raw`. Nothing is
    recorded if `raw` and sample contradict each other, or if augmentation may have changed the shape of a training
    sample that `raw` does not describe; `predict --files` then looks at the datasets itself. Of a data module of the
    user's own, the first training batch tells it.

    Args:
        found: what the checkpoint says of which the run is resumed.
    """

    def __init__(self, found: NetInputs) -> None:
        self.found = found

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not (isinstance(data, DataModule) and hasattr(pl_module, "call_net")):
            return
        has_validation = data.dataset_names("val") and trainer.limit_val_batches
        split = "val" if has_validation else "train"
        names = class_names(data.datasets["data.train"]) or class_names(data.first_dataset(split)[0])
        self.found = NetInputs(_find_certain(data, split, pl_module), names)
        self.__dict__["on_train_batch_start"] = None  # Lightning calls no hook that is None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        dataset = getattr(trainer.train_dataloader, "dataset", None)
        if hasattr(pl_module, "call_net") and isinstance(batch, dict):
            self.found = NetInputs(_describe(dataset, batch, pl_module, checks=False), class_names(dataset))
        self.__dict__["on_train_batch_start"] = None


def find_inputs(data: DataModule, split: str, module: Any) -> dict[str, Input]:
    """Return what the net of a module takes from the samples of a split; nothing if they lack it.

    Args:
        data: the data module.
        split: one of its splits that is set.
        module: a module with `call_net`.
    """
    dataset, path = data.first_dataset(split)
    return _describe(dataset, _load_sample(data, dataset, path), module, checks=True)


def _find_certain(data: DataModule, split: str, module: Any) -> dict[str, Input]:
    """Return what the net takes if it is certain; a training need not know it."""
    dataset, path = data.first_dataset(split)
    described = getattr(dataset, "raw", {})
    if split == "train" and getattr(dataset, "augmentation", None):
        sources = [name for _, name, _ in module.call_net.sources]
        return {name: described[name] for name in sources} if all(name in described for name in sources) else {}
    try:
        return _describe(dataset, _load_sample(data, dataset, path), module, checks=True)
    except ConfigError:
        return {}


def _load_sample(data: DataModule, dataset: Any, path: str) -> Tensors:
    """Return a batch of the first sample, or the first batch of a dataset with `collate`, which may drop samples.

    The state of the generators does not change.

    It is loaded in a worker if the others are: a dataset that opens its file on the first access would otherwise open
    it here, and the workers that are forked from this process would share its position in the file.
    """
    workers: dict[str, Any] = {}
    if data.num_workers:
        workers = {"num_workers": 1, "prefetch_factor": 1, "worker_init_fn": prepare_worker}
        workers["multiprocessing_context"] = start_method()
    size = data.batch_size if hasattr(dataset, "collate") else 1
    with isolate_rng(include_cuda=False):
        loader = build_loader(dataset, path, batch_size=size, seed=data.seed, is_training=False, **workers)
        return next(iter(loader), {})


def _describe(dataset: Any, batch: Mapping[str, Any], module: Any, checks: bool) -> dict[str, Input]:
    """Return what the net takes from a batch; nothing if the batch lacks what it needs.

    Args:
        dataset: the dataset.
        batch: a batch of it.
        module: a module with `call_net`.
        checks: whether its `raw` must be that of the batch, or may be of the samples before augmentation.

    Raises:
        ConfigError: `raw` and batch contradict each other.
    """
    sources = [(name, is_required) for _, name, is_required in module.call_net.sources]
    tensors = {name: _to_float32(batch[name]) for name, _ in sources if isinstance(batch.get(name), Tensor)}
    if any(is_required and name not in tensors for name, is_required in sources):
        return {}
    described = {} if checks else getattr(dataset, "raw", {})
    found = raw_inputs(dataset, tensors, [name for name in tensors if name not in described])
    return {name: described.get(name) or found[name] for name in tensors}


def _to_float32(value: Tensor) -> Tensor:
    """Return a tensor in float32 if the trainer has rounded it."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value

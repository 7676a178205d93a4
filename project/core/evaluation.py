"""Losses and metrics over a whole set."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from project.core.errors import ConfigError, listing, noting_where
from project.core.wiring import MetricTerm, Tensors, Wire, as_picture


class Means:
    """The means of losses by name, over the samples of all processes.

    Sums of torch's own: torchmetrics' MeanMetric looks for NaN at every batch, which waits for the device, and leaves
    them out of the mean.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: Tensors = {}
        self.weights: dict[str, int] = {}

    def add(self, losses: Tensors, size: int) -> None:
        """Adds a batch; each loss counts as many times as the batch has samples."""
        for name, value in losses.items():
            if name not in self.sums:  # float32 whatever the losses are: in bf16 a sum soon stands still
                self.sums[name] = self._zero()
            self.sums[name].add_(value, alpha=size)
            self.weights[name] = self.weights.get(name, 0) + size

    def compute(self) -> Tensors:
        """The means by name."""
        means = {}
        for name in _names_of_all([*self.sums]):
            pair = torch.stack([self.sums.get(name, self._zero()), self._zero() + self.weights.get(name, 0)])
            total, weight = torch.stack(_gather(pair)).sum(0) if _several() else pair
            means[name] = total / weight
        return means

    def _zero(self) -> Tensor:
        return torch.zeros((), dtype=torch.float32, device=self.device)


class Metrics:
    """The metrics of the yaml, over batches of one set; they are called one by one.

    torchmetrics' MetricCollection is not used: its compute groups merge metrics that read different tensors.
    """

    def __init__(self, terms: Mapping[str, MetricTerm], device: torch.device) -> None:
        self.metrics = {name: deepcopy(term.metric).to(device) for name, term in terms.items()}
        self.updates = [
            Wire(self.metrics[name], "update", f"model.metric.{name}", term.inputs) for name, term in terms.items()
        ]
        self.pictured: Tensors = {}
        for part in self.parts():
            part.sync_on_compute = False

    def parts(self) -> Iterator[Metric]:
        """All metrics of torchmetrics, those within others, too."""
        for metric in self.metrics.values():
            yield from (part for part in metric.modules() if isinstance(part, Metric))

    def update(self, batch: Tensors, output: Tensors) -> None:
        """Adds one batch."""
        for update in self.updates:
            update(batch, output)

    def compute(self) -> Tensors:
        """The values by name, on the device; what is shown as a picture is kept for `pictures`."""
        values: Tensors = {}
        for name, metric in self.metrics.items():
            with noting_where(f"model.metric.{name} ({type(metric).__name__}), while it was computed"):
                if hasattr(metric, "picture"):
                    self.pictured[name] = metric.compute()
                else:
                    values |= scalars(name, metric.compute())
        return values

    def pictures(self) -> Tensors:
        """The pictures of what was computed last, by name."""
        drawn = {}
        for name, value in self.pictured.items():
            metric: Any = self.metrics[name]
            where = f"model.metric.{name} ({type(metric).__name__})"
            with noting_where(f"{where}, while it was drawn"):
                drawn[name] = as_picture(metric.picture(value), where)
        return drawn

    def reset(self) -> None:
        """A fresh start."""
        for metric in self.metrics.values():
            metric.reset()


class Evaluation(Metrics):
    """The losses' means and the metrics over one set, of all processes.

    Raises:
        ConfigError: there are several processes, and a metric cannot be gathered from them.
    """

    def __init__(self, terms: Mapping[str, MetricTerm], device: torch.device) -> None:
        super().__init__(terms, device)
        self.device = device
        for part in self.parts():
            part.sync_on_compute = True
            if part.dist_sync_fn is None:
                part.dist_sync_fn = _gather
            _refuse_uneven_lists(part)
        self.means = Means(self.device)

    def add(self, batch: Tensors, output: Tensors, losses: Tensors) -> None:
        """Adds one batch."""
        self.means.add(losses, batch_size(batch))
        self.update(batch, output)

    def compute(self) -> Tensors:
        return self.means.compute() | super().compute()

    def reset(self) -> None:
        self.means = Means(self.device)
        super().reset()


def _several() -> bool:
    """Whether there are several processes."""
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _refuse_uneven_lists(metric: Metric) -> None:
    """torchmetrics gathers lists element by element, which needs as many on each process."""
    if not _several() or type(metric)._sync_dist is not Metric._sync_dist:
        return
    for name, default in metric._defaults.items():
        if isinstance(default, list) and metric._reductions[name] is not dim_zero_cat:
            raise ConfigError(
                f"the state '{name}' of {type(metric).__name__} is a list that is not concatenated "
                "(dist_reduce_fx is not 'cat'), which several processes cannot share: evaluate on one"
            )


def _gather(tensor: Tensor, group: Any = None) -> list[Tensor]:
    """The tensors of all processes; torchmetrics' own mistakes those of a process that saw no samples."""
    parts: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(parts, tensor.cpu(), group)
    filled = [part for part in parts if part.numel()] or parts
    return [part.to(tensor.device) for part in filled]


def _names_of_all(names: list[str]) -> list[str]:
    """The names that any process has, in one order: one without samples has none, but computes along."""
    if not _several():
        return names
    parts: list[list[str]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, names)
    return list(dict.fromkeys(name for part in parts for name in part))


def scalars(name: str, value: Any) -> Tensors:
    """A metric's value as scalars by name: a vector and a dict have one for each entry.

    Raises:
        ConfigError: the value has two dimensions or more.
    """
    if isinstance(value, Mapping):
        return {inner: entry for key, item in value.items() for inner, entry in scalars(f"{name}/{key}", item).items()}
    tensor = torch.as_tensor(value)
    if tensor.numel() == 1:
        return {name: tensor.reshape(()) if tensor.is_floating_point() else tensor.reshape(()).float()}
    if tensor.ndim > 1:
        raise ConfigError(f"model.metric.{name} is a tensor {tuple(tensor.shape)}; only scalars and vectors are logged")
    return {f"{name}/{i}": entry for i, entry in enumerate(tensor)}


def per_sample(tensors: Tensors, count: int) -> Tensors:
    """Those of the tensors that have one entry for each of the batch's `count` samples."""
    return {
        name: value
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.ndim and len(value) == count
    }


def batch_size(batch: Tensors) -> int:
    """How many samples a batch has: the first dimension of its first tensor that has one.

    Raises:
        ConfigError: there is no such tensor.
    """
    for value in batch.values():
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    raise ConfigError(f"a batch needs a tensor with a row for each sample; this one has {listing(batch)}")

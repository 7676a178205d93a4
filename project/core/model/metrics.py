"""Means of losses, and metrics, over whole datasets and all processes."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torchmetrics import Metric

from project.core.data.tensors import Tensors, batch_size, describe_shapes
from project.core.errors import ConfigError, located
from project.core.model.wiring import WiredTerm, as_picture
from project.core.training.lightning_internals.access import uneven_list_states


class MeanLosses:
    """Means of losses by name, over the samples of all processes.

    torchmetrics' MeanMetric is not used: it looks for NaN at every batch, which waits for the device, and leaves NaN
    out of the mean.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sums: Tensors = {}
        self.counts: dict[str, int] = {}

    def add(self, losses: Tensors, size: int) -> None:
        """Add the losses of a batch of `size` samples."""
        for name, value in losses.items():
            if name not in self.sums:  # in float32 for any dtype: a sum in bf16 soon stops growing
                self.sums[name] = self._zero()
            self.sums[name].add_(value, alpha=size)
            self.counts[name] = self.counts.get(name, 0) + size

    def compute(self) -> Tensors:
        """Return the means by name."""
        means = {}
        for name in _all_gather_names([*self.sums]):
            pair = torch.stack([self.sums.get(name, self._zero()), self._zero() + self.counts.get(name, 0)])
            total, count = torch.stack(_all_gather(pair)).sum(0) if _is_distributed() else pair
            means[name] = total / count
        return means

    def _zero(self) -> Tensor:
        return torch.zeros((), dtype=torch.float32, device=self.device)


class Metrics:
    """The metrics of the yaml over batches of one dataset.

    torchmetrics' MetricCollection is not used: its compute groups merge metrics that read different tensors.

    Args:
        terms: the metrics by name; they are copied.
        device: device of the batches.
    """

    def __init__(self, terms: Mapping[str, WiredTerm], device: torch.device) -> None:
        self.terms = {
            name: WiredTerm(deepcopy(term.component).to(device), "update", term.path, term.inputs)
            for name, term in terms.items()
        }
        self.values_to_draw: dict[str, Any] = {}
        for metric in self.torchmetrics():
            metric.sync_on_compute = False

    def torchmetrics(self) -> Iterator[Metric]:
        """Yield all metrics of torchmetrics, including those inside others."""
        for term in self.terms.values():
            yield from (part for part in term.component.modules() if isinstance(part, Metric))

    def check(self, batch: Tensors) -> None:
        """Raise ConfigError if a metric of torchmetrics that takes classes gets soft labels, which it miscounts."""
        for term in self.terms.values():
            cls = type(term.component)
            takes_classes = cls.__module__.startswith("torchmetrics.") and cls.__name__.startswith("Multiclass")
            names = {parameter: name for parameter, name, _ in term.call.sources}
            target = batch.get(names.get("target", ""))
            if takes_classes and isinstance(target, Tensor) and target.is_floating_point():
                got = describe_shapes({names["target"]: target})
                raise ConfigError(
                    f"{term.path} ({cls.__name__}) takes classes, but gets {got}, soft labels\n"
                    "Use a metric of project.metrics, which counts their most probable class"
                )

    def update(self, batch: Tensors, output: Tensors) -> None:
        """Add a batch."""
        for term in self.terms.values():
            term.call(batch, output)

    def compute(self) -> Tensors:
        """Return the values by name, on the device; values of metrics with a `picture` method are kept to draw."""
        values: Tensors = {}
        for name, term in self.terms.items():
            with located(f"{term.path} ({type(term.component).__name__}), while it was computed"):
                if hasattr(term.component, "picture"):
                    self.values_to_draw[name] = term.component.compute()
                else:
                    values |= flatten_scalars(name, term.component.compute())
        return values

    def pictures(self) -> Tensors:
        """Return the pictures of the last computed values by name."""
        pictures = {}
        for name, value in self.values_to_draw.items():
            term = self.terms[name]
            location = f"{term.path} ({type(term.component).__name__})"
            with located(f"{location}, while it was drawn"):
                pictures[name] = as_picture(term.component.picture(value), location)
        return pictures

    def data(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return by name what metrics with a `data` method tell of the last computed values, beside the pictures.

        Args:
            classes: names of the classes 0, 1, ...; empty if they have none.
        """
        found = {}
        for name, value in self.values_to_draw.items():
            term = self.terms[name]
            if hasattr(term.component, "data"):
                with located(f"{term.path} ({type(term.component).__name__}), in its method `data`"):
                    found[name] = term.component.data(value, classes)
        return found

    def reset(self) -> None:
        """Remove all batches."""
        for term in self.terms.values():
            term.component.reset()


class DatasetEvaluation(Metrics):
    """Means of losses, and metrics, over one dataset and all processes.

    Args:
        terms: the metrics by name; they are copied.
        device: device of the batches.

    Raises:
        ConfigError: there are several processes, and a metric cannot be gathered from them.
    """

    def __init__(self, terms: Mapping[str, WiredTerm], device: torch.device) -> None:
        super().__init__(terms, device)
        self.device = device
        for metric in self.torchmetrics():
            metric.sync_on_compute = True
            if metric.dist_sync_fn is None:
                metric.dist_sync_fn = _all_gather
            if _is_distributed():
                _check_list_states(metric)
        self.means = MeanLosses(self.device)
        self.has_empty_batches = False

    def add(self, batch: Tensors, output: Tensors, losses: Tensors) -> None:
        """Add a batch."""
        self.means.add(losses, batch_size(batch))
        self.update(batch, output)

    def compute(self) -> Tensors:
        """Return means and metrics by name; nothing if the batches of all processes had no rows."""
        means = self.means.compute()
        return means | super().compute() if means or not self.has_empty_batches else {}

    def reset(self) -> None:
        self.means, self.has_empty_batches = MeanLosses(self.device), False
        super().reset()


def check_state(term: WiredTerm) -> None:
    """Check that a metric has state that is reset between epochs and reduced over processes.

    Raises:
        ConfigError: it has none.
    """
    metric: Metric = term.component
    _, *parts = (part for part in metric.modules() if isinstance(part, Metric))
    if not metric.metric_state and not parts and type(metric).reset is Metric.reset:
        raise ConfigError(
            f"{term.path} ({type(metric).__name__}) has no state: it would never be reset between epochs, nor reduced "
            "over processes\nCall add_state in the constructor, for each value that `update` changes"
        )


def _is_distributed() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _check_list_states(metric: Metric) -> None:
    for name in uneven_list_states(metric):
        raise ConfigError(
            f"{type(metric).__name__} cannot be computed on several processes: its state '{name}' is a list that is "
            "not concatenated (dist_reduce_fx is not 'cat'); evaluate with one process"
        )


def _all_gather(tensor: Tensor, group: ProcessGroup | None = None) -> list[Tensor]:
    """Return the tensors of all processes that saw samples; torchmetrics' own function fails if one saw none."""
    parts: list[Tensor] = [tensor] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(parts, tensor.cpu(), group)
    filled = [part for part in parts if part.numel()] or parts
    return [part.to(tensor.device) for part in filled]


def _all_gather_names(names: list[str]) -> list[str]:
    """Return the names of all processes in one order: a process without samples has none, but must take part."""
    if not _is_distributed():
        return names
    parts: list[list[str]] = [[]] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, names)
    return list(dict.fromkeys(name for part in parts for name in part))


def flatten_scalars(name: str, value: object) -> Tensors:
    """Return a metric's value as scalars by name: one for each entry of a vector, dict, or tuple of scalars.

    Raises:
        ConfigError: the value is a matrix, a tuple with vectors such as the points of a curve, or contains no numbers.
    """
    if isinstance(value, Mapping):
        items = value.items()
        return {inner: entry for key, item in items for inner, entry in flatten_scalars(f"{name}/{key}", item).items()}
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:  # such as a tuple with tensors that are no scalars
        raise _not_logged(name, f"a {type(value).__name__}") from error
    if tensor.numel() == 1:
        return {name: tensor.reshape(()) if tensor.is_floating_point() else tensor.reshape(()).float()}
    if tensor.ndim > 1:
        raise _not_logged(name, f"a tensor {tuple(tensor.shape)}")
    return {f"{name}/{i}": entry for i, entry in enumerate(tensor)}


def _not_logged(name: str, what: str) -> ConfigError:
    return ConfigError(
        f"model.metric.{name} is {what}; only scalars, and vectors, dicts and tuples of them, are logged"
    )

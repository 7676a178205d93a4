"""Averages of the outputs of several nets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from project.core.data.tensors import Tensors, describe_shapes
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule

_LOGITS = "logits"  # public: name of the output that becomes probabilities
_INDEPENDENT = "BCEWithLogits"  # beginning of the names of losses for classes that do not exclude each other


def average_outputs(module: SupervisedModule, others: Mapping[str, SupervisedModule]) -> None:
    """Have a module return the average of its own outputs and those of others, each after its own `model.prepare`.

    Of `logits`, the probabilities are averaged; the result is the logarithm of their mean, so that losses, metrics and
    `predict` see the mean of the probabilities.

    Args:
        module: the module.
        others: other modules by where they come from, for messages.
    """
    forward, modules = module.forward, [*others.values()]
    module.members = nn.ModuleList(modules)  # moves to the device with the module
    losses = [type(term.component).__name__ for term in module.loss_terms.values()]
    is_independent = any(name.startswith(_INDEPENDENT) for name in losses)

    def average(batch: Tensors) -> Tensors:
        outputs = [forward(batch), *(other(batch) for other in modules)]
        for where, output in zip(others, outputs[1:], strict=True):
            if describe_shapes(dict(sorted(output.items()))) != describe_shapes(dict(sorted(outputs[0].items()))):
                got, first = describe_shapes(output), describe_shapes(outputs[0])
                raise ConfigError(f"an ensemble needs equal outputs: {where} has {got}, and the first run has {first}")
        return {name: _average(name, [output[name] for output in outputs], is_independent) for name in outputs[0]}

    module.forward = average  # type: ignore[method-assign]


def _average(name: str, values: Sequence[Any], is_independent: bool) -> Tensor:
    """Return the average of an output.

    Raises:
        ConfigError: it is no tensor of floats.
    """
    if not all(isinstance(value, Tensor) and value.is_floating_point() for value in values):
        got = describe_shapes({name: values[0]})
        raise ConfigError(f"an ensemble averages outputs that are floats, but the net returns {got}")
    stacked = torch.stack([value if value.dtype == torch.float64 else value.float() for value in values])
    if name != _LOGITS:
        mean = stacked.mean(0)
    elif is_independent or stacked.ndim < 3 or stacked.shape[2] == 1:
        mean = _log_mean(F.logsigmoid, stacked) - _log_mean(F.logsigmoid, -stacked)
    else:
        mean = _log_mean(lambda logits: logits.log_softmax(2), stacked)
    return mean.to(values[0].dtype)


def _log_mean(log_probability: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """Return the logarithm of the mean of probabilities over the first dimension."""
    return log_probability(logits).logsumexp(0) - torch.tensor(float(len(logits))).log().item()

"""Terms: a component together with the reserved keys of its config entry."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from project.registry import Loss, Metric, Model, Visual

Inputs = dict[str, str]


@dataclass
class NetTerm:
    """A net and its reserved keys.

    Args:
        net: the net.
        inputs: name of the tensor of the batch that an argument of `forward` gets, if their names differ.
        output: name of the output, for a net that returns a tensor.
    """

    net: Model
    inputs: Inputs | None = None
    output: str | None = None


@dataclass
class LossTerm:
    """A loss and its reserved keys.

    Args:
        loss: the loss.
        weight: factor in the sum of losses, >= 0.
        inputs: name of the tensor that an argument of `forward` gets, if their names differ.
    """

    loss: Loss
    weight: Annotated[float, Ge(0)] = 1.0
    inputs: Inputs | None = None


@dataclass
class MetricTerm:
    """A metric and its reserved keys.

    Args:
        metric: the metric.
        inputs: name of the tensor that an argument of `update` gets, if their names differ.
    """

    metric: Metric
    inputs: Inputs | None = None


@dataclass
class VisualTerm:
    """A visual and its reserved keys.

    Args:
        visual: the visual.
        inputs: name of the tensor that an argument gets, if their names differ.
        every_n_epochs: during training, draw in every n-th epoch.
    """

    visual: Visual
    inputs: Inputs | None = None
    every_n_epochs: Annotated[int, Ge(1)] = 1

    def is_due(self, epoch: int) -> bool:
        """Return whether it draws in an epoch, counted from 0."""
        return (epoch + 1) % self.every_n_epochs == 0


Visuals = dict[str, VisualTerm]  # the name of a single visual is ""

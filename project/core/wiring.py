"""Names are the wiring: every room's call gets the tensors that its parameters name."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from project.core.errors import ConfigError, did_you_mean, listing, note_where
from project.registry import Loss, Metric, Model, Visual

Tensors = dict[str, Tensor]
Inputs = dict[str, str]


@dataclass
class NetTerm:
    """A net of the yaml.

    Args:
        net: the net.
        inputs: which tensor of the batch an argument of `forward` gets, where the names differ.
        output: the name of its output, for a net that returns a tensor.
    """

    net: Model
    inputs: Inputs | None = None
    output: str | None = None


@dataclass
class LossTerm:
    """A loss of the yaml.

    Args:
        loss: the loss.
        weight: its factor in the sum.
        inputs: which tensor an argument of `forward` gets, where the names differ.
    """

    loss: Loss
    weight: float = 1.0
    inputs: Inputs | None = None


@dataclass
class MetricTerm:
    """A metric of the yaml.

    Args:
        metric: the metric.
        inputs: which tensor an argument of `update` gets, where the names differ.
    """

    metric: Metric
    inputs: Inputs | None = None


@dataclass
class VisualTerm:
    """The visual of the yaml.

    Args:
        visual: the visual.
        inputs: which tensor an argument gets, where the names differ.
    """

    visual: Visual
    inputs: Inputs | None = None


class Wire:
    """Calls a method with the tensors of batch and output that its parameters name.

    A parameter called `batch` or `output` gets the whole dict, `**name` the output; one with a default is optional.

    Args:
        owner: whose method is called.
        method: its name; `forward` is called through the module itself.
        where: the owner's place in the yaml, for messages.
        inputs: the tensor that a parameter gets, where the names differ.

    Raises:
        ConfigError: `inputs` names a parameter that is not there.
    """

    def __init__(self, owner: Any, method: str, where: str, inputs: Inputs | None = None) -> None:
        self.call = owner if method == "forward" else getattr(owner, method)
        self.where, self.owner = where, type(owner).__name__
        signature = inspect.signature(getattr(owner, method)).parameters.values()
        self.takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature)
        plain = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = [parameter for parameter in signature if parameter.kind in plain]
        names, inputs = [parameter.name for parameter in parameters], inputs or {}
        for name in inputs:
            if name not in names and not self.takes_all:
                near = did_you_mean(name, names)
                raise ConfigError(
                    f"{where}.inputs: {self.owner}.{method} has no argument '{name}'{near}\nknown: {listing(names)}"
                )
        # Read once: inspect.signature costs more than a small loss.
        self.sources = [
            (
                parameter.name,
                inputs.get(parameter.name, parameter.name),
                parameter.default is parameter.empty or parameter.name in inputs,
            )
            for parameter in parameters
        ] + [(name, inputs[name], True) for name in inputs if name not in names]
        self.takes_all = self.takes_all and not inputs

    def __call__(self, batch: Mapping[str, Tensor], output: Mapping[str, Tensor]) -> Any:
        """The call's result.

        Raises:
            ConfigError: a name that nothing provides, or that both batch and output have.
        """
        arguments = dict(output) if self.takes_all else {}
        for parameter, name, required in self.sources:
            if name in output:
                if name in batch:
                    raise ConfigError(f"{self.where}: '{name}' is in the batch and in the net's output; rename one")
                arguments[parameter] = output[name]
            elif name in batch:
                arguments[parameter] = batch[name]
            elif name == "batch":
                arguments[parameter] = batch  # type: ignore[assignment]
            elif name == "output":
                arguments[parameter] = output  # type: ignore[assignment]
            elif required:
                raise ConfigError(self._nothing_provides(parameter, name, batch, output))
        try:
            return self.call(**arguments)
        except Exception as error:
            note_where(error, f"{self.where} ({self.owner}), which got {shapes(arguments)}")
            raise

    def _nothing_provides(self, parameter: str, name: str, batch: Mapping[str, Any], output: Mapping[str, Any]) -> str:
        near = did_you_mean(name, [*batch, *output])
        return (
            f"{self.where} ({self.owner}) needs '{name}', which nothing provides{near}\n"
            f"batch: {listing(batch)}; output: {listing(output)}\n"
            f"Name another with {self.where}.inputs: {{{parameter}: NAME}}"
        )


def as_picture(value: Any, where: str) -> Tensor:
    """What somebody drew, `(3, H, W)` in [0, 1]; integers count to 255.

    Raises:
        ConfigError: it is no picture.
    """
    if not (isinstance(value, Tensor) and value.ndim == 3 and len(value) == 3):
        raise ConfigError(f"{where} returns {shapes({'a': value})}; it must be a picture (3, H, W)")
    return value if value.is_floating_point() else value / 255


def shapes(tensors: Mapping[str, Any]) -> str:
    """The tensors' names, shapes and types in one line."""

    def shape(value: Any) -> str:
        if isinstance(value, Tensor):
            return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
        return f"{{{shapes(value)}}}" if isinstance(value, Mapping) else type(value).__name__

    return ", ".join(f"{name} {shape(value)}" for name, value in tensors.items()) or "nothing"

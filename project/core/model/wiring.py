"""Wiring by name: a component's method gets the tensors that are named like its parameters."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, count
from typing import Any

from torch import Tensor

from project.core.config.terms import Inputs
from project.core.data.tensors import Tensors, batch_size, describe_shapes
from project.core.errors import ConfigError, add_location, did_you_mean, join_names, missing_package
from project.core.model.figures import draw_figure, is_figure


class NamedCall:
    """Call of a method with the tensors of the batch and of the net's output that its parameters name.

    Parameters called `batch` and `output` get these whole dicts; `**kwargs` gets the output's entries, unless `inputs`
    is given. A tensor for a parameter with a default may be missing.

    Args:
        owner: object whose method is called.
        method: name of the method; `forward` is called through the module itself.
        path: config path of the owner, for messages.
        inputs: name of the tensor that a parameter gets, if their names differ.

    Raises:
        ConfigError: `inputs` names a parameter that the method does not have.

    Example::

        call = NamedCall(CrossEntropy(), "forward", "model.loss.cross_entropy")
        call({"label": label}, {"logits": logits})  # forward(logits=logits, label=label)
    """

    def __init__(self, owner: Any, method: str, path: str, inputs: Inputs | None = None) -> None:
        self.arguments = owner, method, path, inputs
        self.method = owner if method == "forward" else getattr(owner, method)
        self.path, self.owner = path, type(owner).__name__
        signature = inspect.signature(getattr(owner, method)).parameters.values()
        self.takes_output = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature)
        named_kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = [parameter for parameter in signature if parameter.kind in named_kinds]
        names, inputs = [parameter.name for parameter in parameters], inputs or {}
        for name in inputs:
            if name not in names and not self.takes_output:
                near = did_you_mean(name, names)
                raise ConfigError(
                    f"{path}.inputs: {self.owner}.{method} has no argument '{name}'{near}\nknown: {join_names(names)}"
                )
        # (parameter, tensor, is required); read once, because inspect.signature is slow.
        self.sources = [
            (
                parameter.name,
                inputs.get(parameter.name, parameter.name),
                parameter.default is parameter.empty or parameter.name in inputs,
            )
            for parameter in parameters
        ] + [(name, inputs[name], True) for name in inputs if name not in names]
        self.takes_output = self.takes_output and not inputs

    def __call__(self, batch: Mapping[str, Tensor], output: Mapping[str, Tensor]) -> Any:
        """Return the result of the method.

        Raises:
            ConfigError: neither batch nor output contains a name, or both do.
        """
        arguments: dict[str, Any] = dict(output) if self.takes_output else {}
        for parameter, name, is_required in self.sources:
            if name in output:
                if name in batch:
                    raise ConfigError(f"{self.path}: '{name}' is in the batch and in the net's output; rename one")
                arguments[parameter] = output[name]
            elif name in batch:
                arguments[parameter] = batch[name]
            elif name == "batch":
                arguments[parameter] = batch
            elif name == "output":
                arguments[parameter] = output
            elif is_required:
                raise ConfigError(self._not_found(parameter, name, batch, output))
        try:
            return self.method(**arguments)
        except Exception as error:
            if needed := missing_package(error):
                raise ConfigError(f"{self.path} ({self.owner}) {needed}") from error
            add_location(error, f"{self.path} ({self.owner}), which got {describe_shapes(arguments)}")
            raise

    def __reduce__(self) -> tuple[type["NamedCall"], tuple[Any, ...]]:
        """Return how a copy is made: torchmetrics wraps the methods of each metric, and pickle takes no such method."""
        return NamedCall, self.arguments

    def _not_found(self, parameter: str, name: str, batch: Mapping[str, Any], output: Mapping[str, Any]) -> str:
        near = did_you_mean(name, [*batch, *output])
        return (
            f"{self.path} ({self.owner}) needs '{name}', which neither batch nor output contains{near}\n"
            f"batch: {join_names(batch)}; output: {join_names(output)}\n"
            f"If the name differs, set {self.path}.inputs: {{{parameter}: NAME}}"
        )


class WiredTerm:
    """A loss or metric of the yaml, with its weight and its calls.

    Args:
        component: the loss or metric.
        method: method that gets the tensors of a batch: `forward` or `update`.
        path: config path.
        inputs: name of the tensor that a parameter gets, if their names differ.
        weight: factor of a loss in the sum.
    """

    def __init__(
        self, component: Any, method: str, path: str, inputs: Inputs | None = None, weight: float = 1.0
    ) -> None:
        self.component, self.path, self.inputs, self.weight = component, path, inputs, weight
        self.call = NamedCall(component, method, path, inputs)
        self.per_sample: NamedCall | None = None
        if hasattr(component, "per_sample"):
            # `inputs` is written for `method`, of which `per_sample` may take fewer arguments.
            known = inspect.signature(component.per_sample).parameters
            own = {argument: tensor for argument, tensor in (inputs or {}).items() if argument in known}
            self.per_sample = NamedCall(component, "per_sample", path, own)


def per_sample_columns(terms: Mapping[str, WiredTerm], batch: Tensors, output: Tensors) -> Tensors:
    """Return the values per sample, `(B,)`, of each loss or metric that has them.

    Raises:
        ConfigError: there is not one value for each sample.
    """
    calls = {name: term.per_sample for name, term in terms.items() if term.per_sample is not None}
    columns, count = {name: call(batch, output) for name, call in calls.items()}, batch_size(batch)
    for name, value in columns.items():
        if not (isinstance(value, Tensor) and value.ndim and len(value) == count):
            got = describe_shapes({"per_sample": value})
            raise ConfigError(
                f"{calls[name].path} ({calls[name].owner}): {got}; it must have a row for each of {count} samples"
            )
    return columns


@contextmanager
def per_sample_once(terms: Iterable[WiredTerm]) -> Iterator[None]:
    """Compute `per_sample` only once for the same tensors in the `with` block.

    The `forward` of a loss or the `update` of a metric often calls `per_sample`. `WiredTerm.per_sample`, which computes
    the column of samples.csv, then returns the result of that call.
    """
    changed = [(vars(term.component), term.per_sample) for term in terms if term.per_sample is not None]
    own = [attributes.get("per_sample") for attributes, _ in changed]  # None: it is a method of the class
    for attributes, call in changed:
        remember = _RememberLast(call)
        attributes["per_sample"], call.method = remember, remember.recall
    try:
        yield
    finally:
        for (attributes, call), method in zip(changed, own, strict=True):
            call.method = call.method.__self__.function
            attributes.pop("per_sample", None)
            if method is not None:
                attributes["per_sample"] = method


class _RememberLast:
    """Function that remembers its last arguments and result."""

    def __init__(self, call: NamedCall) -> None:
        self.function, self.names = call.method, [parameter for parameter, _, _ in call.sources]
        self.last: tuple[dict[Any, Any], Any] | None = None  # arguments, result

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call the function."""
        result = self.function(*args, **kwargs)
        # Copied, because the caller may change its result in place.
        kept = result.clone() if isinstance(result, Tensor) else result
        self.last = dict(zip(chain(self.names, count()), args, strict=False)) | kwargs, kept
        return result

    def recall(self, **arguments: object) -> Any:
        """Return the last result if the last call had the same arguments, else call the function."""
        if self.last is not None and _are_identical(self.last[0], arguments):
            return self.last[1]
        return self.function(**arguments)


def _are_identical(one: Mapping[Any, Any], two: Mapping[Any, Any]) -> bool:
    return one.keys() == two.keys() and all(one[name] is value for name, value in two.items())


def as_picture(value: object, location: str) -> Tensor:
    """Return a drawn picture `(3, H, W)` in [0, 1]; integers are divided by 255, and figures of matplotlib drawn.

    Raises:
        ConfigError: the value is not a picture.
    """
    if is_figure(value):
        value = draw_figure(value)
    if not (isinstance(value, Tensor) and value.ndim == 3 and len(value) == 3):
        raise ConfigError(f"{location} returns {describe_shapes({'a': value})}; it must be a picture (3, H, W)")
    return value if value.is_floating_point() else value / 255

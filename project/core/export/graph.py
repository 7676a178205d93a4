"""The graph that is exported: `model.prepare`, the net and its `predict`."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from project.core.data.tensors import Tensors, batch_size, describe_shapes
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from project.core.model.outputs import name_tensors
from project.core.model.wiring import NamedCall


class Graph(nn.Module):
    """Module whose inputs are tensors of the batch by position, and whose outputs are tensors by name.

    Args:
        module: a SupervisedModule, or another LightningModule whose attribute `net` is exported alone. It is set to
            evaluation mode.
        batch: a batch, which decides about arguments of the net that have a default.

    Attributes:
        inputs: names of the tensors that the net takes from the batch, in their order.
        outputs: name in the graph of each output of the net.
        answers: name in the graph of each value that `predict` returns, or of each output without one.

    Raises:
        ConfigError: the module has no net, or the net takes or returns what no exported model can.
    """

    inputs: list[str]
    outputs: Mapping[str, str]
    answers: Mapping[str, str]

    def __init__(self, module: nn.Module, batch: Mapping[str, Any]) -> None:
        super().__init__()
        self.wired = wire(module)
        self.eval()
        if any(value.is_floating_point() and value.itemsize < 4 for value in self.state_dict().values()):
            self.float()  # half precision is for the training
        count = batch_size(batch)
        rows = {name: value[:2] if _has_rows(value, count) else value for name, value in batch.items()}
        taken = [tensor for _, tensor, _ in self.wired.call_net.sources if tensor in batch]
        _check_inputs(taken, batch)
        with plain_computation(rows.values()):
            self.inputs = self._find_inputs(rows)
            _check_inputs(self.inputs, batch)
            given = {name: rows[name] for name in self.inputs}
            output, prediction = self._compute(given)
            self._check_repeatable(given, output, prediction)
        # Names in the graph differ: the net may return a tensor that is called like an input, or like an answer.
        answers = {} if prediction is None else prediction
        self.answers = _unique_names(answers, "predicted", self.inputs)
        shared = {name for name, value in output.items() if answers.get(name) is value}
        others = _unique_names(output.keys() - shared, "net", [*self.inputs, *self.answers.values()])
        self.outputs = {name: self.answers[name] if name in shared else others[name] for name in output}
        if prediction is None:
            self.answers = self.outputs

    def forward(self, *tensors: Tensor) -> Tensors:
        """Return all outputs and answers by their names in the graph."""
        output, prediction = self._compute(dict(zip(self.inputs, tensors, strict=True)))
        return {self.outputs[name]: value for name, value in output.items()} | {
            self.answers[name]: value for name, value in (prediction or {}).items()
        }

    def _compute(self, batch: Tensors) -> tuple[Tensors, Tensors | None]:
        """Return the tensors among the outputs of the net and of its `predict`, which is None without one."""
        output, call = self.wired(batch), self.wired.call_predict
        prediction = call({}, output) if call else None
        name = type(self.wired.net).__name__
        if not isinstance(prediction, Mapping | None):
            raise ConfigError(f"model.net ({name}): `predict` returns a {type(prediction).__name__}; it must be a dict")
        tensors = _select_tensors(output)
        if not tensors:
            raise ConfigError(f"model.net ({name}) returns no tensors, but {describe_shapes(output)}")
        return tensors, None if prediction is None else _select_tensors(prediction)

    def _check_repeatable(self, batch: Tensors, *results: Tensors | None) -> None:
        for first, second in zip(results, self._compute(batch), strict=True):
            for name, value in (first or {}).items():
                again = (second or {})[name]
                if value.shape != again.shape or not torch.allclose(value, again, equal_nan=True):
                    raise ConfigError(
                        f"model.net ({type(self.wired.net).__name__}) cannot be exported: the second time, it returns "
                        f"another {name} for the same input\nDraw random numbers only `if self.training`, keep no "
                        "state, and do not change the input in place"
                    )

    def _find_inputs(self, batch: Mapping[str, Any]) -> list[str]:
        """Return the names of the tensors that the net takes, and of others without which it cannot run.

        The latter are read by `model.prepare`, or by the `forward` of a module of one's own.
        """
        names = dict.fromkeys(tensor for _, tensor, _ in self.wired.call_net.sources)
        if "batch" in names and "batch" not in batch:
            raise ConfigError(
                f"model.net ({type(self.wired.net).__name__}) takes the whole batch, so that it is unknown which "
                "tensors an exported model takes\nLet its `forward` name them as parameters"
            )
        self._compute(dict(batch))  # raises what is wrong with the net itself
        others = [name for name in batch if name not in names and not self._runs_without(name, batch)]
        return [*(name for name in names if name in batch), *others]

    def _runs_without(self, name: str, batch: Mapping[str, Any]) -> bool:
        try:
            self._compute({other: value for other, value in batch.items() if other != name})
        except Exception:  # the net has run before: whatever it raises now, it is for the lack of this tensor
            return False
        return True


@contextmanager
def plain_computation(values: Iterable[object]) -> Iterator[None]:
    """Compute without gradients, autocast and torch.compile, on the device of the first tensor among the values."""
    device = next((value.device.type for value in values if isinstance(value, Tensor)), "cpu")
    with torch.no_grad(), torch.autocast(device, enabled=False), torch.compiler.set_stance("force_eager"):
        yield


def wire(module: nn.Module) -> "SupervisedModule | WiredNet":
    """Return a module that calls its net, and the net's `predict`, with the tensors that they name.

    Raises:
        ConfigError: the module has no net.
    """
    return module if isinstance(module, SupervisedModule | WiredNet) else WiredNet(module)


class WiredNet(nn.Module):
    """Net of a LightningModule of one's own, wired by the names of its parameters.

    Args:
        module: the LightningModule.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        net = getattr(module, "net", None)
        if not isinstance(net, nn.Module):
            raise ConfigError(f"model ({type(module).__name__}) has no attribute `net`; `export` takes the net from it")
        self.net = net
        self.call_net = NamedCall(net, "forward", "model.net")
        self.call_predict = NamedCall(net, "predict", "model.net") if hasattr(net, "predict") else None

    def forward(self, batch: Tensors) -> Tensors:
        """Return the net's output; a single tensor is called `output`."""
        returned = self.call_net(batch, {})
        return name_tensors(returned, "output" if isinstance(returned, Tensor) else None, type(self.net).__name__)


def _has_rows(value: object, count: int) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == count


def _check_inputs(names: Iterable[str], batch: Mapping[str, Any]) -> None:
    count = batch_size(batch)
    for name in names:
        if not _has_rows(batch[name], count):
            raise ConfigError(
                f"model.net takes {describe_shapes({name: batch[name]})} from the batch; an exported model takes only "
                f"tensors with a row for each sample, here {count}"
            )


def _select_tensors(values: Mapping[str, Any]) -> Tensors:
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _unique_names(names: Iterable[str], prefix: str, taken: Iterable[str]) -> dict[str, str]:
    """Return a name in the graph for each name, with a prefix if it is taken."""
    taken = set(taken)
    return {name: f"{prefix}_{name}" if name in taken else name for name in names}

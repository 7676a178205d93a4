"""The graph that is exported: `model.prepare`, the net and its `predict`."""

from collections.abc import Mapping

from torch import Tensor, nn

from project.core.data.tensors import Tensors


class Graph(nn.Module):
    """Module whose inputs are tensors of the batch by position, and whose outputs are tensors by name.

    Args:
        module: a SupervisedModule, in evaluation mode.
        batch: a batch, which decides about arguments of the net that have a default.

    Attributes:
        inputs: names of the tensors that the net takes from the batch, in their order.
        outputs: name in the graph of each output of the net.
        answers: name in the graph of each value that `predict` returns, or of each output without one.
    """

    inputs: list[str]
    outputs: Mapping[str, str]
    answers: Mapping[str, str]

    def forward(self, *tensors: Tensor) -> Tensors:
        """Return all outputs and answers by their names in the graph."""
        raise NotImplementedError

"""Tracing of a graph with torch.export."""

from collections.abc import Mapping

import torch

from project.core.data.tensors import Tensors
from project.core.export.graph import Graph
from project.deploy.inputs import Input
from project.deploy.model_card import Length


def trace(
    graph: Graph, batch: Tensors, inputs: Mapping[str, Input]
) -> tuple[torch.export.ExportedProgram, dict[str, tuple[Length, ...]]]:
    """Return the program of a graph, and the lengths of the dimensions of each input after the batch.

    Args:
        graph: the graph.
        batch: at least one sample `(B, ...)` of each input.
        inputs: raw inputs by name. The height and width of a picture of any size are free, as are dimensions None.

    Raises:
        ConfigError: the net cannot be exported, or fixes the size of the batch.
    """
    raise NotImplementedError

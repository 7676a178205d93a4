"""Files of an exported program: model.onnx and model.pt2."""

from pathlib import Path

import torch

from project.core.export.graph import Graph
from project.deploy.model_card import ModelCard


def write_onnx(program: torch.export.ExportedProgram, graph: Graph, card: ModelCard, path: Path) -> None:
    """Write a program and its card as an ONNX file, without example inputs and paths of this machine.

    Raises:
        ConfigError: an operation has no ONNX counterpart, or the file would exceed 2 GB.
    """
    raise NotImplementedError


def write_pt2(program: torch.export.ExportedProgram, card: ModelCard, path: Path) -> None:
    """Write a program and its card as a file of torch.export, without example inputs and paths of this machine."""
    raise NotImplementedError

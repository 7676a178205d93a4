"""Preparation of batches for the net: `model.prepare`."""

from collections.abc import Mapping

from loguru import logger
from torch import nn

from project.core.data.tensors import Tensors, apply_transform
from project.core.errors import ConfigError
from project.registry import Transform
from project.transforms.base import BatchTransform


class Preparation(nn.Module):
    """Transforms of a batch `(B, ...)` before the net, in every stage. Their buffers are saved in checkpoints.

    Args:
        transforms: transforms by name, applied in this order; those with buffers are also nn.Modules.
    """

    def __init__(self, transforms: Mapping[str, Transform]) -> None:
        super().__init__()
        self.transforms = dict(transforms)
        for name, transform in transforms.items():
            if isinstance(transform, BatchTransform):
                raise ConfigError(
                    f"model.prepare.{name} mixes whole training batches; set it in data.batch_augmentation"
                )
            if getattr(transform, "is_random", None):
                logger.warning(
                    f"model.prepare.{name} ({type(transform).__name__}) is random, in evaluations as well; "
                    "set it in the augmentation of the training set"
                )
            if not isinstance(transform, nn.Module):
                continue
            if "." in name or hasattr(self, name):
                raise ConfigError(f"model.prepare: a transform cannot be called '{name}'; rename it and set its `type`")
            self.add_module(name, transform)

    def forward(self, batch: Tensors) -> Tensors:
        """Return what the net sees of a batch."""
        for name, transform in self.transforms.items():
            batch = apply_transform(transform, batch, f"model.prepare.{name}")
        return batch

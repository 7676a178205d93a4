"""Batches of another size than the one with which a net was traced."""

from collections.abc import Mapping

import torch

from project.core.data.tensors import Tensors
from project.deploy.model_card import Length


def resize_free(batch: Tensors, shapes: Mapping[str, tuple[Length, ...]]) -> Tensors | None:
    """Return the inputs with another length of each dimension whose length is free; None if all are fixed.

    The first such dimension of a sample changes by one step, the next one by two, so that a square becomes a rectangle.
    It becomes larger if it may: what is not resized, such as the lengths of sequences, then fits. Values are repeated,
    or left out at the end.

    Args:
        batch: inputs `(B, ...)` by name.
        shapes: lengths that the dimensions after the batch may have.
    """
    resized, has_changed = {}, False
    for name, value in batch.items():
        steps = 0
        for dimension, length in enumerate(shapes[name], 1):
            if length.minimum == length.maximum:
                continue
            steps += 1
            old = value.shape[dimension]
            candidates = (old + steps * length.step, old - steps * length.step, old + length.step, old - length.step)
            new = next((candidate for candidate in candidates if candidate > 0 and length.allows(candidate)), old)
            has_changed |= new != old
            value = value.index_select(dimension, torch.arange(new) % old)
        resized[name] = value
    return resized if has_changed else None

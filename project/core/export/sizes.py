"""Batches of other sizes than the one with which a net was traced."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from project.core.data.tensors import Tensors
from project.deploy.inputs import Input, Picture
from project.deploy.model_card import Length


def resize_free(batch: Tensors, inputs: Mapping[str, Input], shapes: Mapping[str, tuple[Length, ...]]) -> list[Tensors]:
    """Return the batch in other sizes of the dimensions whose length is free; an empty list if all are fixed.

    In the first one, the first such dimension changes by one step and the next one by two, so that a square becomes a
    rectangle. In the second one, all become half as large again. In the third one, pictures are turned by 90 degrees,
    so that a wide one becomes high. Dimensions become larger if they may: what is not resized, such as the lengths of
    sequences, then fits. Values are repeated, or left out at the end.

    Args:
        batch: inputs `(B, ...)` by name.
        inputs: raw inputs by name.
        shapes: lengths that the dimensions after the batch may have.
    """
    found: list[Tensors] = []
    for factor, is_turned in ((1.0, False), (1.5, False), (1.0, True)):
        resized = {}
        for name, value in batch.items():
            free = [i for i, length in enumerate(shapes[name], 1) if length.minimum != length.maximum]
            sizes, steps = [value.shape[i] for i in free], [*range(1, len(free) + 1)]
            if is_turned and isinstance(inputs[name], Picture):
                sizes.reverse()
                steps.reverse()
            wanted = [round(factor * size) for size in sizes]
            resized[name] = _resize(value, free, wanted, steps, shapes[name])
        if _shapes(resized) not in map(_shapes, [batch, *found]):
            found.append(resized)
    return found


def _resize(
    value: Tensor, free: Sequence[int], wanted: Sequence[int], steps: Sequence[int], lengths: Sequence[Length]
) -> Tensor:
    """Return a tensor whose free dimensions have about the lengths that are wanted, plus a number of steps."""
    for dimension, size, count in zip(free, wanted, steps, strict=True):
        length, old = lengths[dimension - 1], value.shape[dimension]
        start = size - (size - length.minimum) % length.step  # a length that the step allows
        changes = (count * length.step, -count * length.step, length.step, -length.step)
        candidates = (start + change for change in changes)
        new = next((each for each in candidates if each > 0 and length.allows(each)), old)
        value = value.index_select(dimension, torch.arange(new) % old)
    return value


def _shapes(batch: Tensors) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in batch.items()}

"""Confusion matrix of an evaluation, from the columns of samples.csv."""

from collections.abc import Sequence
from typing import Any

import torch

from project.core.data.tensors import Tensors
from project.core.model.predictions import COLUMNS

_MAX_CLASSES = 200  # more are hardly classes, and no table of them is readable


def count_confusions(columns: Tensors, names: Sequence[str]) -> dict[str, Any] | None:
    """Return what confusion_matrix.json contains: `counts`, by true class (row) and prediction, and `classes`.

    Args:
        columns: columns of samples.csv.
        names: names of the classes 0, 1, ...; empty if they have none.

    Returns:
        None if a column is missing, or if the columns are not few classes: numbers that are no integers are none.
    """
    pair = [columns[name] for name in COLUMNS if name in columns]
    if len(pair) < len(COLUMNS) or any(each.is_floating_point() or each.ndim > 1 or not len(each) for each in pair):
        return None
    prediction, target = (each.long() for each in pair)
    both = torch.stack([target, prediction])
    count = max(len(names), int(both.max()) + 1)
    if int(both.min()) < 0 or count > _MAX_CLASSES:
        return None
    counts = torch.bincount(target * count + prediction, minlength=count**2).reshape(count, count)
    return {"counts": counts.tolist(), "classes": [*names, *map(str, range(len(names), count))]}

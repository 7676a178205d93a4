"""Metrics of a dataset with one class, as a directory of pictures with one subdirectory."""

from typing import Any

import pytest
import torch

from project.core.model.metrics import flatten_scalars
from project.core.model.wiring import as_picture
from project.metrics.accuracy import Accuracy
from project.metrics.confusion_matrix import ConfusionMatrix
from project.metrics.f1 import F1


@pytest.mark.parametrize("metric", [Accuracy(1), F1(1), F1(1, average="none"), ConfusionMatrix(1)])
def test_one_class_is_computed(metric: Any) -> None:
    """torchmetrics returns a scalar for one class, which has no rows to draw."""
    metric.update(torch.randn(4, 1), torch.zeros(4, dtype=torch.long))
    value = metric.compute()
    if isinstance(metric, ConfusionMatrix):
        assert metric.data(value, ["only"]) == {"counts": [[4]], "classes": ["only"]}
        assert as_picture(metric.picture(value), "here").shape == (3, 64, 64)
    else:
        assert [float(each) for each in flatten_scalars("", value).values()] == [1]

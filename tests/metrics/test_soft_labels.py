"""Soft labels, as Mixup makes them, count as their most probable class."""

import pytest
import torch
from torchmetrics import Metric

from project.metrics.accuracy import Accuracy
from project.metrics.confusion_matrix import ConfusionMatrix
from project.metrics.f1 import F1


@pytest.mark.parametrize("metric", [Accuracy(3), Accuracy(3, top_k=2), F1(3), ConfusionMatrix(3)])
def test_most_probable_class_counts(metric: Metric) -> None:
    logits, label = torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 2, 1, 2])
    metric.update(logits, 0.6 * torch.eye(3)[label] + 0.4 * torch.eye(3)[[1, 1, 2, 0]])
    found = metric.compute()
    metric.reset()
    metric.update(logits, label)
    assert torch.equal(metric.compute(), found)

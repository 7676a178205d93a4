import torch

from project.metrics.accuracy import Accuracy

LOGITS = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0]])
LABEL = torch.tensor([0, 1, 1, 2])


def test_over_batches() -> None:
    metric = Accuracy(3)
    metric.update(LOGITS[:3], LABEL[:3])
    metric.update(LOGITS[3:], LABEL[3:])
    assert metric.compute() == 0.5


def test_top_k() -> None:
    metric = Accuracy(3, top_k=2)
    metric.update(LOGITS, LABEL)
    assert metric.compute() == 1


def test_per_sample() -> None:
    assert Accuracy(3).per_sample(LOGITS, LABEL).tolist() == [1, 0, 1, 0]
    assert Accuracy(3, top_k=2).per_sample(LOGITS, LABEL).tolist() == [1, 1, 1, 1]

import torch

from project.metrics.accuracy import Accuracy

LOGITS = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [1.0, 3.0, 2.0]])
LABEL = torch.tensor([0, 1, 1, 2])


def test_accuracy_over_batches() -> None:
    metric = Accuracy(3)
    metric.update(LOGITS[:3], LABEL[:3])
    metric.update(LOGITS[3:], LABEL[3:])
    assert metric.compute() == 0.5


def test_top_k_counts_the_k_highest_scores() -> None:
    metric = Accuracy(3, top_k=2)
    metric.update(LOGITS, LABEL)
    assert metric.compute() == 1


def test_per_sample_is_1_for_correct_samples() -> None:
    assert Accuracy(3).per_sample(LOGITS, LABEL).tolist() == [1, 0, 1, 0]
    assert Accuracy(3, top_k=2).per_sample(LOGITS, LABEL).tolist() == [1, 1, 1, 1]

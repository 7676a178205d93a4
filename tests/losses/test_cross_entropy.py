import pytest
import torch
from torch.nn import functional as F

from project.losses.cross_entropy import CrossEntropy


@pytest.mark.parametrize("shape", [(), (5, 6)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_values_and_per_sample_means(shape: tuple[int, ...], smoothing: float) -> None:
    logits, label = torch.randn(4, 3, *shape, generator=torch.Generator().manual_seed(0)), torch.zeros(4, *shape).long()
    loss = CrossEntropy(smoothing)
    target = F.one_hot(label, 3).float().movedim(-1, 1) * (1 - smoothing) + smoothing / 3
    expected = -(target * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss(logits, label), expected.mean())
    per_sample = loss.per_sample(logits, label)
    assert per_sample.shape == (4,)
    torch.testing.assert_close(per_sample, expected.flatten(1).mean(1) if shape else expected)

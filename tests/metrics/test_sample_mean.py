import pytest
import torch
from torch import Tensor

from project.metrics.components.sample_mean import SampleMean


class Difference(SampleMean):
    """Difference of two numbers."""

    def per_sample(self, prediction: Tensor, target: Tensor) -> Tensor:
        return prediction - target


def test_samples_have_equal_weight_regardless_of_batch_size() -> None:
    metric = Difference()
    metric.update(torch.tensor([7.0]), torch.tensor([1.0]))
    metric.update(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 1.0]))
    assert metric.compute() == (6 + 0 + 1 + 2) / 4
    metric.reset()
    metric.update(torch.tensor([5.0]), torch.tensor([1.0]))
    assert metric.compute() == 4


def test_nan_is_not_hidden() -> None:
    metric = Difference()
    metric.update(torch.tensor([1.0, torch.nan]), torch.zeros(2))
    assert metric.compute().isnan()


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "after reset"])
def test_sums_of_many_samples_are_exact_for_any_default_dtype(fresh: bool) -> None:
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        metric = Difference()
        if not fresh:
            metric.reset()
        for value in (0.0, 1.0):
            for _ in range(300):  # bf16 counts to 256
                metric.update(torch.full((1,), value), torch.zeros(1))
        assert metric.compute() == 0.5
    finally:
        torch.set_default_dtype(default)

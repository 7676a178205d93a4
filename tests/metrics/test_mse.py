import pytest
import torch

from project.metrics.mse import MSE

PREDICTION = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 5.0]])
TARGET = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 5.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bfloat16])
def test_values_of_all_dtypes(dtype: torch.dtype) -> None:
    prediction, target = PREDICTION.to(dtype), TARGET.to(dtype)
    metric = MSE()
    for rows in (slice(1), slice(1, None)):
        metric.update(prediction[rows], target[rows])
    assert metric.compute() == 3.5
    assert metric.per_sample(prediction, target).tolist() == [2.5, 8, 0]
    assert metric.per_sample(target, prediction).tolist() == [2.5, 8, 0]


def test_samples_of_any_size_have_equal_weight() -> None:
    metric = MSE()
    metric.update(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    metric.update(torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9))
    assert metric.compute() == 0.5

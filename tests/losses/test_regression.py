import pytest
import torch

from project.losses.huber import Huber
from project.losses.l1 import L1
from project.losses.mse import MSE

PREDICTION = torch.tensor([[1.0, -2.0], [3.0, 4.0], [5.0, 5.0]])
TARGET = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 5.0]])


@pytest.mark.parametrize("shape", [(3, 2), (3, 1, 2), (3, 1, 1, 2)])
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (L1(), [1.5, 2.0, 0.0]),
        (MSE(), [2.5, 8.0, 0.0]),
        (Huber(), [(0.5 + 1.5) / 2, 3.5 / 2, 0.0]),
        (Huber(delta=2.0), [(0.5 + 2.0) / 2, 6.0 / 2, 0.0]),
    ],
)
def test_values_and_per_sample_means(loss: L1 | MSE | Huber, expected: list[float], shape: tuple[int, ...]) -> None:
    for prediction, target in ((PREDICTION, TARGET), (TARGET, PREDICTION)):
        pair = prediction.view(shape), target.view(shape)
        assert loss.per_sample(*pair).tolist() == expected
        torch.testing.assert_close(loss(*pair), torch.tensor(sum(expected) / 3))


def test_samples_may_be_scalars() -> None:
    prediction, target = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 5.0])
    assert L1().per_sample(prediction, target).tolist() == [0, 3]
    assert MSE().per_sample(prediction, target).tolist() == [0, 9]
    assert Huber().per_sample(prediction, target).tolist() == [0, 2.5]

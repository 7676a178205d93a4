import math

import pytest
import torch
from torch.nn import functional as F

from project.losses.focal import Focal


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_value_at_uniform_probabilities(gamma: float) -> None:
    loss = Focal(gamma)(torch.zeros(1, 4), torch.tensor([2]))
    torch.testing.assert_close(loss, torch.tensor(0.75**gamma * math.log(4)))


@pytest.mark.parametrize("shape", [(), (5,), (5, 6)])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_values_and_per_sample_means(shape: tuple[int, ...], gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(4, 3, *shape, generator=generator), torch.randint(3, (4, *shape), generator=generator)
    p = (logits.softmax(1) * F.one_hot(label, 3).movedim(-1, 1)).sum(1)
    expected = (1 - p) ** gamma * -p.log()
    torch.testing.assert_close(Focal(gamma)(logits, label), expected.mean())
    torch.testing.assert_close(Focal(gamma).per_sample(logits, label), expected.view(4, -1).mean(1))


@pytest.mark.parametrize("shape", [(), (5, 6)])
def test_soft_labels(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = (torch.randn(4, 3, *shape, generator=generator) for _ in range(2))
    target = target.softmax(1)
    p = logits.softmax(1)
    expected = (target * (1 - p) ** 1.5 * -p.log()).sum(1)
    torch.testing.assert_close(Focal(1.5)(logits, target), expected.mean())
    torch.testing.assert_close(Focal(1.5).per_sample(logits, target), expected.view(4, -1).mean(1))


def test_gamma_0_is_the_cross_entropy_and_2_the_default() -> None:
    logits, label = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(Focal(0.0)(logits, label), F.cross_entropy(logits, label))
    assert torch.equal(Focal()(logits, label), Focal(2.0)(logits, label))
    assert Focal()(logits, label) < F.cross_entropy(logits, label)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_gradients_are_finite_at_saturated_probabilities(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    Focal(gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0.0], [-0.5, 0.5]]))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gradients_of_a_perfect_prediction_are_zero(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    Focal(gamma)(logits, torch.tensor([0])).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2))

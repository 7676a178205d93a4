"""The Dice loss has the value of its formula."""

import pytest
import torch
from torch import Tensor

from project.core.errors import ConfigError
from project.losses.dice import Dice


def random_logits(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def dice(p: Tensor, g: Tensor, smooth: float) -> float:
    """Return one minus the coefficient of one class of one sample."""
    return float(1 - (2 * (p * g).sum() + smooth) / ((p**2).sum() + (g**2).sum() + smooth))


@pytest.mark.parametrize("smooth", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(5, 6), (7,), ()])
@pytest.mark.parametrize("ignored", [None, 255, 1])
def test_value_of_several_classes(shape: tuple[int, ...], smooth: float, ignored: int | None) -> None:
    logits, label = random_logits(2, 3, *shape), torch.randint(3, (2, *shape))
    if ignored is not None:
        label.view(-1)[::2] = ignored
    p = logits.softmax(1)
    expected = [
        sum(
            dice(p[i, k][label[i] != ignored], (label[i] == k)[label[i] != ignored].float(), smooth) for k in range(3)
        ) / 3
        for i in range(2)
    ]  # fmt: skip
    loss = Dice(smooth, ignored)
    assert loss.per_sample(logits, label).tolist() == pytest.approx(expected)
    assert float(loss(logits, label)) == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.float32])
@pytest.mark.parametrize("has_channel", [True, False])
def test_one_class_has_the_probability_of_the_sigmoid(dtype: torch.dtype, has_channel: bool) -> None:
    logits, mask = random_logits(2, 1, 4, 4), torch.arange(32).view(2, 1, 4, 4) % 3 == 0
    expected = [dice(logits[i].sigmoid(), mask[i].float(), 1.0) for i in range(2)]
    label = mask.to(dtype) if has_channel else mask.to(dtype).squeeze(1)
    assert Dice().per_sample(logits, label).tolist() == pytest.approx(expected)
    if dtype is torch.uint8:
        label[:, ..., 0] = 255
        expected = [dice(logits[i, :, :, 1:].sigmoid(), mask[i, :, :, 1:].float(), 1.0) for i in range(2)]
        assert Dice(ignore_index=255).per_sample(logits, label).tolist() == pytest.approx(expected)


def test_perfect_prediction_costs_nothing_and_a_wrong_one_1() -> None:
    label = torch.tensor([[0, 1], [1, 1]])[None]
    right = torch.stack([label == 0, label == 1], 1) * 100.0
    torch.testing.assert_close(Dice()(right, label), torch.tensor(0.0))
    torch.testing.assert_close(Dice(smooth=0.0)(100 - right, label), torch.tensor(1.0))


def test_soft_labels_equal_classes() -> None:
    logits, label = random_logits(2, 3, 4), torch.randint(3, (2, 4))
    soft = torch.nn.functional.one_hot(label, 3).movedim(-1, 1).float()
    assert torch.equal(Dice()(logits, soft), Dice()(logits, label))


def test_scores_without_a_dimension_of_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^Dice: logits and labels have the same shape \(2, 5, 6\), but"):
        Dice()(torch.zeros(2, 5, 6), torch.zeros(2, 5, 6).long())


def test_sums_over_many_pixels_are_exact_in_half_precision() -> None:
    logits, label = torch.zeros(1, 1, 300, 300), torch.ones(1, 300, 300)
    assert Dice()(logits.bfloat16(), label) == Dice()(logits, label)


def test_soft_labels_that_do_not_fit_are_refused() -> None:
    logits, label = torch.randn(2, 3, 4), torch.rand(2, 3, 4).softmax(1)
    with pytest.raises(ConfigError, match=r"not \(2, 2, 4\)"):
        Dice()(logits, label[:, :2])
    with pytest.raises(ConfigError, match="ignore_index has no effect on labels that are probabilities"):
        Dice(ignore_index=1)(logits, label)

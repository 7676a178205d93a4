"""BCEWithLogits has the value of its formula."""

import pytest
import torch
from torch import Tensor

from project.core.errors import ConfigError
from project.losses.bce_with_logits import BCEWithLogits


def formula(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    p = logits.sigmoid()
    return -(weight * label * p.log() + (1 - label) * (1 - p).log())


@pytest.mark.parametrize("pos_weight", [None, [2.0], [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("shape", [(), (5, 6)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_value_and_per_sample_means(pos_weight: list[float] | None, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    logits = torch.randn(4, 3, *shape, generator=torch.Generator().manual_seed(0))
    label = (torch.arange(logits.numel()).view(logits.shape) % 3 == 0).to(dtype)
    weight = torch.tensor(pos_weight or [1.0]).view(1, -1, *[1] * len(shape))
    expected = formula(logits, label.float(), weight)
    loss = BCEWithLogits(pos_weight)
    torch.testing.assert_close(loss(logits, label), expected.mean())
    torch.testing.assert_close(loss.per_sample(logits, label), expected.flatten(1).mean(1))
    assert not loss.state_dict()  # the yaml has the weights


@pytest.mark.parametrize("shape", [(), (5, 6)])
def test_labels_of_one_class_need_no_dimension_for_it(shape: tuple[int, ...]) -> None:
    logits, label = torch.randn(4, 1, *shape), torch.ones(4, *shape)
    torch.testing.assert_close(
        BCEWithLogits([3.0])(logits, label), 3 * formula(logits, torch.tensor(1.0), label.new_ones(())).mean()
    )
    assert BCEWithLogits().per_sample(logits, label).shape == (4,)
    assert BCEWithLogits().per_sample(logits.squeeze(1), label).shape == (4,)


def test_weights_of_other_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^BCEWithLogits: pos_weight has 2 values, but there are 3 classes$"):
        BCEWithLogits([1.0, 2.0])(torch.zeros(4, 3), torch.zeros(4, 3))

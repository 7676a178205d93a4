from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from project.core.errors import ConfigError
from project.metrics.f1 import F1

GUESS, LABEL = torch.tensor([0, 1, 1, 2, 2, 0]), torch.tensor([0, 0, 1, 2, 2, 2])
EACH = [2 / (2 + 1 + 1), 2 / (2 + 1), 4 / (4 + 1)]  # 2 TP / (2 TP + FP + FN)


@pytest.mark.parametrize(
    ("average", "expected"),
    [
        ("none", EACH),
        ("macro", sum(EACH) / 3),
        ("weighted", (2 * EACH[0] + 1 * EACH[1] + 3 * EACH[2]) / 6),
        ("micro", 4 / 6),
    ],
)
def test_each_average_over_batches(
    average: Literal["macro", "weighted", "micro", "none"], expected: float | list[float]
) -> None:
    metric = F1(3, average)
    for rows in (slice(1), slice(1, 4), slice(4, None)):
        metric.update(F.one_hot(GUESS[rows], 3).float(), LABEL[rows])
    torch.testing.assert_close(metric.compute(), torch.tensor(expected))


def test_default_average_is_macro() -> None:
    metric = F1(3)
    metric.update(F.one_hot(GUESS, 3).float(), LABEL)
    torch.testing.assert_close(metric.compute(), torch.tensor(sum(EACH) / 3))


def test_other_number_of_classes_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"^F1: num_classes is 5, but there are scores of 10 classes$"):
        F1(5).update(torch.zeros(4, 10), torch.zeros(4, dtype=torch.long))

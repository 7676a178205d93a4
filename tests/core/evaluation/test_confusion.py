"""confusion_matrix.json has counts by true class and prediction, for classes only."""

from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.evaluation.confusion import count_confusions

PREDICTION, TARGET = torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 2])
COUNTS = [[1, 0, 0], [0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("names", "classes"),
    [([], ["0", "1", "2"]), (["a", "b", "c"], ["a", "b", "c"]), (["a"], ["a", "1", "2"])],
    ids=["none", "all", "one"],
)
def test_rows_are_true_classes(names: list[str], classes: list[str]) -> None:
    columns = {"index": torch.arange(4), "prediction": PREDICTION, "target": TARGET}
    assert count_confusions(columns, names) == {"counts": COUNTS, "classes": classes}


def test_classes_that_do_not_occur_are_counted_by_name() -> None:
    columns = {"prediction": PREDICTION, "target": TARGET}
    found: Any = count_confusions(columns, ["a", "b", "c", "d"])
    assert found["counts"] == [*([*row, 0] for row in COUNTS), [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "columns",
    [
        {"prediction": PREDICTION},
        {"prediction": PREDICTION.float(), "target": TARGET.float()},
        {"prediction": PREDICTION.float(), "target": TARGET},
        {"prediction": PREDICTION - 1, "target": TARGET},
        {"prediction": PREDICTION + 1000, "target": TARGET},
        {"prediction": PREDICTION[:0], "target": TARGET[:0]},
    ],
    ids=["no target", "regression", "numbers for classes", "negative", "many", "empty"],
)
def test_what_is_no_class_has_no_matrix(columns: dict[str, Tensor]) -> None:
    assert count_confusions(columns, []) is None

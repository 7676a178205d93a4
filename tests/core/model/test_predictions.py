"""samples.csv has the predictions and targets that are one number per sample, under the names of the documentation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from project.core.model.predictions import prediction_columns
from project.core.model.wiring import WiredTerm


class Compared(nn.Module):
    """Loss with arguments of the names of the losses here."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean()


ONE, TWO, COLUMN = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4, 5, 6]), torch.tensor([[7.0], [8.0], [9.0]])
BATCH = {"image": torch.zeros(3, 4), "label": TWO, "price": ONE, "target": torch.zeros(3, 2)}
MSE_OF_PRICE = WiredTerm(Compared(), "forward", "loss", {"prediction": "cost", "target": "price"})
TORCH = WiredTerm(nn.MSELoss(), "forward", "loss", {"input": "cost", "target": "price"})


@pytest.mark.parametrize(
    ("prediction", "losses", "is_predicted", "expected"),
    [
        ({"label": ONE}, {}, True, {"prediction": ONE, "target": TWO}),
        (
            {"label": ONE, "probability": COLUMN},
            {},
            True,
            {"prediction": ONE, "target": TWO, "prediction.probability": COLUMN.flatten()},
        ),
        (
            {"label": ONE, "price": COLUMN},
            {},
            True,
            {
                **{"prediction.label": ONE, "target.label": TWO},
                **{"prediction.price": COLUMN.flatten(), "target.price": ONE},
            },
        ),
        ({"risk": ONE, "picture": torch.zeros(3, 4)}, {}, True, {"prediction": ONE}),
        ({"cost": COLUMN}, {"mse": MSE_OF_PRICE}, False, {"prediction": COLUMN.flatten(), "target": ONE}),
        ({"cost": COLUMN}, {"mse": TORCH}, False, {"prediction": COLUMN.flatten(), "target": ONE}),
        ({"usage": ONE, "prediction": torch.zeros(3, 2)}, {"mse": MSE_OF_PRICE}, False, {}),
    ],
    ids=["class", "with probability", "two heads", "no target", "loss", "loss of torch", "nothing"],
)
def test_columns(
    prediction: dict[str, Tensor], losses: dict[str, Any], is_predicted: bool, expected: dict[str, Tensor]
) -> None:
    columns = prediction_columns(BATCH, prediction, losses, is_predicted).values
    assert list(columns) == list(expected)
    for name, value in expected.items():
        assert torch.equal(columns[name], value), name


def test_the_tensors_of_the_columns_are_known() -> None:
    """By them, a column is known to be a class that has a name."""
    found = prediction_columns(BATCH, {"label": ONE, "price": COLUMN, "risk": ONE}, {}, is_predicted=True).tensors
    assert found == {
        **{"prediction.label": "label", "target.label": "label"},
        **{"prediction.price": "price", "target.price": "price"},
        "prediction.risk": "risk",
    }
    found = prediction_columns(BATCH, {"cost": COLUMN}, {"mse": MSE_OF_PRICE}, is_predicted=False).tensors
    assert found == {"prediction": "cost", "target": "price"}

"""Multilayer perceptron for tables."""

import re
from typing import Any

import pytest
import torch

from project.models.tabular_mlp import TabularMLP
from project.registry import ConfigError

ROWS = {
    "numeric": torch.randn(5, 2),
    "missing": torch.zeros(5, 2, dtype=torch.bool),
    "categorical": torch.tensor([[0, 1], [1, 0], [2, 3], [1, 2], [2, 2]]),
}


def net(**changes: Any) -> TabularMLP:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"heads": {"logits": 3, "prediction": 1}, "num_numeric": 2, "cardinalities": [3, 4]}
    return TabularMLP(**(settings | changes))


def test_each_head_has_its_output() -> None:
    output = net()(**ROWS)
    assert {name: value.shape for name, value in output.items()} == {"logits": (5, 3), "prediction": (5,)}
    predicted = net().predict(**output)
    assert {name: value.shape for name, value in predicted.items()} == dict.fromkeys(
        ("prediction", "label", "probability"), (5,)
    )


def test_scales_are_those_of_the_numbers_to_predict() -> None:
    plain, scaled = net()(**ROWS), net(scales={"prediction": [4000.0, 500.0]})(**ROWS)
    torch.testing.assert_close(scaled["prediction"], 4000 + 500 * plain["prediction"])
    assert torch.equal(scaled["logits"], plain["logits"])


@pytest.mark.parametrize("name", ["numeric", "missing", "categorical"])
def test_every_input_counts(name: str) -> None:
    changed = ROWS | {name: ~ROWS[name] if name == "missing" else (ROWS[name] + 1) % 3}
    assert not torch.allclose(net()(**changed)["logits"], net()(**ROWS)["logits"])


@pytest.mark.parametrize("used", [["numeric", "missing"], ["categorical"]])
def test_one_kind_of_columns_is_enough(used: list[str]) -> None:
    settings = {"num_numeric": 2, "cardinalities": []} if "numeric" in used else {"num_numeric": 0}
    assert net(**settings)(**{name: ROWS[name] for name in used})["logits"].shape == (5, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": {}}, "TabularMLP needs a head, and num_numeric or cardinalities"),
        ({"num_numeric": 0, "cardinalities": []}, "TabularMLP needs a head, and num_numeric or cardinalities"),
        ({"scales": {"price": [1.0, 2.0]}}, "scales must be {HEAD: [MEAN, STD]}"),
        ({"scales": {"prediction": []}}, "scales.prediction is []; scales must be {HEAD: [MEAN, STD]}"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        net(**changes)

"""An ensemble returns the mean of probabilities for `logits`, and the mean of other outputs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from project.core.config.terms import LossTerm, NetTerm
from project.core.errors import ConfigError
from project.core.model.ensemble import average_outputs
from project.core.model.module import SupervisedModule
from project.losses.base import Loss
from project.models.base import Model


class Returns(Model):
    """Net that returns given tensors."""

    def __init__(self, **output: Any) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(self.output)


class Plain(Loss):
    """Loss of any output."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class BCEWithLogitsOfMine(Plain):
    """Loss for classes that do not exclude each other, by its name."""


def build(loss: Loss, **output: Any) -> SupervisedModule:
    """Return a module whose net returns given tensors."""
    return SupervisedModule(NetTerm(Returns(**output)), torch.optim.SGD, {"loss": LossTerm(loss)})


def averaged(outputs: list[dict[str, Any]], loss: Loss | None = None) -> dict[str, Tensor]:
    """Return the output of an ensemble of nets that return given tensors."""
    first, *others = (build(loss or Plain(), **output) for output in outputs)
    average_outputs(first, {f"run{number}": other for number, other in enumerate(others)})
    result: dict[str, Tensor] = first({"x": torch.zeros(2)})
    return result


def draw(*shape: int) -> list[Tensor]:
    """Return the outputs of three nets."""
    generator = torch.Generator().manual_seed(0)
    return [10 * torch.randn(shape, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3, 4)], ids=["classes", "pixels"])
def test_probabilities_of_classes_are_averaged(shape: tuple[int, ...]) -> None:
    logits = draw(*shape)
    expected = torch.stack([each.softmax(1) for each in logits]).mean(0)
    assert torch.allclose(averaged([{"logits": each} for each in logits])["logits"].softmax(1), expected)


@pytest.mark.parametrize("shape", [(2, 1), (2,), (2, 1, 3, 4), (2, 5)], ids=str)
def test_probabilities_of_independent_classes_are_averaged(shape: tuple[int, ...]) -> None:
    """A single class is independent of others; of several, the loss tells it."""
    logits = draw(*shape)
    loss = BCEWithLogitsOfMine() if shape == (2, 5) else Plain()
    expected = torch.stack([each.sigmoid() for each in logits]).mean(0)
    assert torch.allclose(averaged([{"logits": each} for each in logits], loss)["logits"].sigmoid(), expected)


def test_extreme_logits_stay_finite() -> None:
    logits = [torch.tensor([[1e4, -1e4]]), torch.tensor([[1e4, -1e4]])]
    assert averaged([{"logits": each} for each in logits])["logits"].isfinite().all()


def test_other_outputs_are_means_in_their_dtype() -> None:
    values = [each.bfloat16() for each in draw(2, 3)]
    result = averaged([{"price": each} for each in values])["price"]
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, torch.stack(values).float().mean(0).bfloat16())


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ({"a": torch.zeros(2)}, {"b": torch.zeros(2)}, "run0 has b .* float32, and the first run has a .* float32$"),
        ({"a": torch.zeros(2, 3)}, {"a": torch.zeros(2, 4)}, "run0 has a .2, 4. float32, and the first"),
        ({"a": torch.zeros(2).long()}, {"a": torch.zeros(2).long()}, "the net returns a .2,. int64$"),
        ({"a": 3}, {"a": 3}, "the net returns a int$"),
    ],
    ids=["names", "shapes", "integers", "no tensor"],
)
def test_outputs_that_have_no_average_are_refused(one: dict[str, Any], two: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        averaged([one, two])


def test_members_move_with_the_module() -> None:
    """The trainer moves the parameters of all nets to the device."""
    first, second = (build(Plain(), a=torch.zeros(2)) for _ in range(2))
    second.net.layer = nn.Linear(1, 1)
    average_outputs(first, {"run": second})
    first.double()
    assert second.net.layer.weight.dtype == torch.float64

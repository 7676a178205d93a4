"""Tests that the contract tests can fail."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from project.losses.base import Loss
from project.models.base import Model
from project.registry import ConfigError
from project.transforms.base import Transform
from tests.contract import test_losses, test_models, test_transforms
from tests.contract.samples import build, inputs


class Unusual(Model):
    """Model with unusual names of an argument and a tensor."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.layer = nn.Linear(points, 2)

    def forward(self, cloud: Tensor, mask: Tensor | None = None) -> Tensor:
        output: Tensor = self.layer(cloud)
        return output


class Declared(Unusual):
    """Model that declares what it needs."""

    example: ClassVar[dict[str, Any]] = {"points": 5, "cloud": torch.ones(4, 5)}


def test_a_class_with_neither_defaults_nor_an_example_fails() -> None:
    with pytest.raises(
        pytest.fail.Exception, match="Unusual: 'points' has no usual value: give it a default or declare"
    ):
        build(Unusual)
    with pytest.raises(pytest.fail.Exception, match="Unusual: 'cloud' has no usual value"):
        inputs(Unusual(5))


def test_an_example_supplies_arguments_and_tensors() -> None:
    assert inputs(build(Declared)).keys() == {"cloud"}
    test_models.test_gradients_reach_every_parameter_in_bf16(Declared)
    test_models.test_samples_do_not_mix_in_evaluation(Declared)


class Mixes(Declared):
    """Model whose output depends on other samples."""

    def forward(self, cloud: Tensor, mask: Tensor | None = None) -> Tensor:
        output: Tensor = self.layer(cloud - cloud.cumsum(0))
        return output


class Counts(Declared):
    """Model that cannot be exported: it makes a number of the batch size."""

    def forward(self, cloud: Tensor, mask: Tensor | None = None) -> Tensor:
        output: Tensor = self.layer(cloud) / len(cloud)
        return output


class Idle(Declared):
    """Model with an unused parameter."""

    def __init__(self, points: int) -> None:
        super().__init__(points)
        self.idle = nn.Parameter(torch.zeros(1))


class Detached(Loss):
    """Loss without gradients."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.detach().mean().requires_grad_()


class InPlace(Transform):
    """Transform that changes its argument in place."""

    def __call__(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        sample["image"] *= 2
        return sample


def test_components_that_break_a_contract_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Tensor-likes are not close"):
        test_models.test_samples_do_not_mix_in_evaluation(Mixes)
    with pytest.raises(ConfigError, match=r"Counts.* cannot be exported: it works only for some numbers of samples"):
        test_models.test_exported_model_computes_the_same(Counts, tmp_path)
    with pytest.raises(AssertionError, match="idle has no gradient"):
        test_models.test_gradients_reach_every_parameter(Idle)
    with pytest.raises(AssertionError):
        test_losses.test_losses_are_finite_scalars_with_gradients(Detached, torch.float32)
    with pytest.raises(AssertionError):
        test_transforms.test_transforms_are_reproducible_and_not_in_place(InPlace, ())

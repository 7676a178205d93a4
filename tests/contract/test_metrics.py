"""The value of each registered metric is finite and does not depend on the batches."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.model.metrics import flatten_scalars
from project.core.model.wiring import as_picture
from project.registry import METRIC_REGISTRY
from tests.contract.samples import build, inputs, registered

every_metric = pytest.mark.parametrize("cls", registered(METRIC_REGISTRY))


def compute(metric: Any, *batches: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what the engine receives: scalars by name, or a picture."""
    for batch in batches:
        metric.update(**batch)
    value = metric.compute()
    return {"": as_picture(metric.picture(value), "here")} if hasattr(metric, "picture") else flatten_scalars("", value)


@every_metric
def test_value_does_not_depend_on_the_batches(cls: Any) -> None:
    metric = build(cls)
    batch = inputs(metric, "update")
    halves = [{name: value[rows] for name, value in batch.items()} for rows in (slice(1), slice(1, None))]
    whole, parts = compute(deepcopy(metric), batch), compute(metric, *halves)
    assert whole
    assert all(value.isfinite().all() for value in whole.values())
    torch.testing.assert_close(parts, whole)
    metric.reset()
    torch.testing.assert_close(compute(metric, batch), whole)


@every_metric
def test_bf16_inputs_give_finite_values(cls: Any) -> None:
    metric = build(cls)
    batch = inputs(metric, "update")
    low = {name: value.bfloat16() if value.is_floating_point() else value for name, value in batch.items()}
    assert all(value.isfinite().all() for value in compute(metric, low).values())


@pytest.mark.parametrize("cls", registered(METRIC_REGISTRY, having="per_sample"))
def test_one_value_per_sample(cls: Any) -> None:
    metric = build(cls)
    given = inputs(metric, "per_sample")
    values = metric.per_sample(**given)
    assert values.shape == (len(next(iter(given.values()))),)
    assert values.isfinite().all()

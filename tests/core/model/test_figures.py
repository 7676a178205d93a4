"""Figures of matplotlib become pictures. They are not part of the extra `dev`, so these tests are often skipped."""

import pytest
import torch
from torch import Tensor

from project.core.model.metrics import Metrics
from project.core.model.wiring import WiredTerm, as_picture
from tests.core.model.test_metrics import Confusion


def blue_figure() -> object:
    return pytest.importorskip("matplotlib.figure").Figure(figsize=(2, 1), dpi=50, facecolor="blue")


class Drawn(Confusion):
    """Metric that is drawn as a figure."""

    def picture(self, value: Tensor) -> Tensor:
        return blue_figure()  # type: ignore[return-value]


def test_a_figure_is_drawn_at_its_own_dpi() -> None:
    picture = as_picture(blue_figure(), "visual")
    assert torch.equal(picture, torch.tensor([0.0, 0, 1])[:, None, None].expand(3, 50, 100))


def test_figures_of_pyplot_are_closed() -> None:
    """pyplot keeps all its figures: a run would soon hold thousands."""
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = pyplot.figure(figsize=(1, 1))
    other = pyplot.figure()
    assert as_picture(figure, "visual").shape == (3, 100, 100)
    assert pyplot.get_fignums() == [other.number]
    pyplot.close(other)


def test_a_metric_may_be_a_figure() -> None:
    metrics = Metrics({"confusion": WiredTerm(Drawn(), "update", "model.metric.confusion")}, torch.device("cpu"))
    metrics.update({"label": torch.tensor([0])}, {"logits": torch.eye(3)[:1]})
    metrics.compute()
    assert metrics.pictures()["confusion"].shape == (3, 50, 100)

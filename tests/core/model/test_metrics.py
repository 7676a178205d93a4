"""Means of losses, and metrics, are computed over samples, without changing the metrics of the yaml."""

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix
from torchmetrics.wrappers import Running

from project.core.errors import ConfigError
from project.core.model.metrics import DatasetEvaluation, MeanLosses, Metrics, check_state, flatten_scalars
from project.core.model.wiring import WiredTerm
from tests.components import Accuracy

CPU = torch.device("cpu")
LABEL, CORRECT = torch.tensor([0, 1, 2]), torch.eye(3)
ONE_WRONG = torch.eye(3)[[0, 1, 0]]


class Confusion(MulticlassConfusionMatrix):
    """Confusion matrix that is drawn."""

    def __init__(self) -> None:
        super().__init__(3)

    def update(self, logits: Tensor, label: Tensor) -> None:
        super().update(logits.argmax(1), label)

    def picture(self, value: Tensor) -> Tensor:
        return value.to(torch.uint8).expand(3, -1, -1)


def accuracy_term(classes: int = 3, logits: str = "logits") -> WiredTerm:
    return WiredTerm(Accuracy(classes), "update", "model.metric.accuracy", {"logits": logits})


def test_losses_are_means_over_samples() -> None:
    evaluation = DatasetEvaluation({}, CPU)
    evaluation.add({"x": torch.zeros(3)}, {}, {"l1": torch.tensor(1.0), "sum": torch.tensor(2.0)})
    evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(5.0), "sum": torch.tensor(10.0)})
    assert evaluation.compute() == {"l1": torch.tensor(2.0), "sum": torch.tensor(4.0)}
    evaluation.reset()
    evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(7.0), "sum": torch.tensor(8.0)})
    assert evaluation.compute() == {"l1": torch.tensor(7.0), "sum": torch.tensor(8.0)}


def test_mean_of_a_nan_is_nan() -> None:
    evaluation = DatasetEvaluation({}, CPU)
    for value in (1.0, float("nan")):
        evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(value)})
    assert evaluation.compute()["l1"].isnan()


def test_losses_in_low_precision_are_summed_in_float32() -> None:
    means = MeanLosses(CPU)
    for _ in range(1000):  # in bfloat16, the sum would stop at 256
        means.add({"l1": torch.tensor(1.0, dtype=torch.bfloat16)}, 1)
    mean = means.compute()["l1"]
    assert mean.dtype == torch.float32
    assert mean == 1


def test_metrics_of_different_tensors_are_not_merged() -> None:
    terms = {"one": accuracy_term(logits="correct"), "two": accuracy_term(logits="one_wrong")}
    evaluation = DatasetEvaluation(terms, CPU)
    evaluation.add({"label": LABEL}, {"correct": CORRECT, "one_wrong": ONE_WRONG}, {})
    assert {name: round(float(value), 4) for name, value in evaluation.compute().items()} == {"one": 1, "two": 0.6667}


def test_evaluation_does_not_change_the_metric_that_it_copies() -> None:
    term = accuracy_term(2)
    evaluation = DatasetEvaluation({"accuracy": term}, CPU)
    evaluation.add({"label": torch.tensor([0])}, {"logits": torch.eye(2)[:1]}, {})
    assert evaluation.compute()["accuracy"] == 1
    assert term.component.update_count == 0


def test_reset_removes_the_batches_of_metrics() -> None:
    metrics = Metrics({"accuracy": accuracy_term()}, CPU)
    metrics.update({"label": LABEL}, {"logits": ONE_WRONG})
    metrics.reset()
    metrics.update({"label": LABEL}, {"logits": CORRECT})
    assert metrics.compute() == {"accuracy": 1}


def test_metric_with_a_picture_has_no_scalars() -> None:
    metrics = Metrics({"confusion": WiredTerm(Confusion(), "update", "model.metric.confusion")}, CPU)
    metrics.update({"label": LABEL}, {"logits": ONE_WRONG})
    assert metrics.pictures() == {}
    assert metrics.compute() == {}
    counts = torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 0]])
    assert torch.equal(metrics.pictures()["confusion"], (counts / 255).expand(3, -1, -1))


def test_error_in_a_metric_names_its_config_path() -> None:
    class Broken(Accuracy):
        def compute(self) -> Tensor:
            raise ZeroDivisionError("on purpose")

    metrics = Metrics({"broken": WiredTerm(Broken(3), "update", "model.metric.broken")}, CPU)
    metrics.update({"label": LABEL}, {"logits": CORRECT})
    with pytest.raises(ZeroDivisionError) as caught:
        metrics.compute()
    assert caught.value.__notes__ == ["raised in model.metric.broken (Broken), while it was computed"]


def test_values_are_flattened_to_named_scalars() -> None:
    assert flatten_scalars("a", torch.tensor([3.0])) == {"a": torch.tensor(3.0)}
    assert flatten_scalars("a", {"b": torch.tensor(1.0), "c": 2}) == {"a/b": torch.tensor(1.0), "a/c": torch.tensor(2)}
    per_class = MulticlassAccuracy(3, average="none")
    per_class.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    assert flatten_scalars("a", per_class.compute()) == {"a/0": 1, "a/1": 1, "a/2": 0}


def test_tuple_of_scalars_is_flattened() -> None:
    """Such as the recall and the threshold of BinaryRecallAtFixedPrecision."""
    values = flatten_scalars("a", (torch.tensor(0.5), torch.tensor(1)))
    assert values == {"a/0": torch.tensor(0.5), "a/1": torch.tensor(1)}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (torch.zeros(2, 2), "a tensor (2, 2)"),
        ((torch.zeros(3), torch.zeros(3)), "a tuple"),  # such as MulticlassROC
        ([torch.zeros(3), torch.zeros(2)], "a list"),
        (None, "a NoneType"),
        ("text", "a str"),
    ],
)
def test_value_that_cannot_be_logged_is_an_error(value: object, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        flatten_scalars("a", value)
    assert str(caught.value) == (
        f"model.metric.a is {what}; only scalars, and vectors, dicts and tuples of them, are logged"
    )


class Latest(Metric):
    """Metric without add_state that resets itself."""

    def reset(self) -> None:
        self.latest = 0.0

    def update(self, value: float) -> None:
        self.latest = value

    def compute(self) -> float:
        return self.latest


@pytest.mark.parametrize("metric", [Latest(), MeanMetric() + MeanMetric(), Running(MeanMetric())])
def test_metric_that_resets_itself_or_others_needs_no_state(metric: Metric) -> None:
    check_state(WiredTerm(metric, "update", "model.metric.any"))

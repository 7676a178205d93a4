import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from project.core.errors import ConfigError
from project.core.evaluation import Evaluation, batch_size, scalars
from project.core.wiring import MetricTerm
from tests.rooms import Accuracy

CPU = torch.device("cpu")


def test_losses_are_means_over_samples() -> None:
    evaluation = Evaluation({}, CPU)
    evaluation.add({"x": torch.zeros(3)}, {}, {"l1": torch.tensor(1.0), "sum": torch.tensor(2.0)})
    evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(5.0), "sum": torch.tensor(10.0)})
    assert evaluation.compute() == {"l1": torch.tensor(2.0), "sum": torch.tensor(4.0)}
    evaluation.reset()
    evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(7.0), "sum": torch.tensor(8.0)})
    assert evaluation.compute() == {"l1": torch.tensor(7.0), "sum": torch.tensor(8.0)}


def test_a_mean_does_not_hide_a_nan() -> None:
    evaluation = Evaluation({}, CPU)
    for value in (1.0, float("nan")):
        evaluation.add({"x": torch.zeros(1)}, {}, {"l1": torch.tensor(value)})
    assert evaluation.compute()["l1"].isnan()


def test_metrics_of_different_tensors_are_not_merged() -> None:
    terms = {
        "one": MetricTerm(Accuracy(3), {"logits": "right"}),
        "two": MetricTerm(Accuracy(3), {"logits": "wrong"}),
    }
    evaluation = Evaluation(terms, CPU)
    label = torch.tensor([0, 1, 2])
    right = torch.eye(3)
    wrong = torch.eye(3)[[0, 1, 0]]
    evaluation.add({"label": label}, {"right": right, "wrong": wrong}, {})
    assert {name: round(float(value), 4) for name, value in evaluation.compute().items()} == {"one": 1, "two": 0.6667}


def test_a_set_does_not_touch_the_metric_it_was_made_from() -> None:
    metric = Accuracy(2)
    evaluation = Evaluation({"accuracy": MetricTerm(metric)}, CPU)
    evaluation.add({"label": torch.tensor([0])}, {"logits": torch.eye(2)[:1]}, {})
    assert evaluation.compute()["accuracy"] == 1
    assert metric.update_count == 0


def test_scalars() -> None:
    assert scalars("a", torch.tensor([3.0])) == {"a": torch.tensor(3.0)}
    assert scalars("a", {"b": torch.tensor(1.0), "c": 2}) == {"a/b": torch.tensor(1.0), "a/c": torch.tensor(2)}
    per_class = MulticlassAccuracy(3, average="none")
    per_class.update(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
    assert scalars("a", per_class.compute()) == {"a/0": 1, "a/1": 1, "a/2": 0}
    with pytest.raises(ConfigError, match=r"model.metric.a is a tensor \(2, 2\)"):
        scalars("a", MulticlassConfusionMatrix(2).confmat)


def test_batch_size() -> None:
    assert batch_size({"scale": torch.tensor(1.0), "x": torch.zeros(5, 2)}) == 5
    with pytest.raises(
        ConfigError, match="a batch needs a tensor with a row for each sample; this one has scale, text"
    ):
        batch_size({"scale": torch.tensor(1.0), "text": ["a", "b"]})  # type: ignore[dict-item]

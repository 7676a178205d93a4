from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from project.losses.cross_entropy import CrossEntropy
from project.registry import ConfigError


@pytest.mark.parametrize("shape", [(), (5, 6)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_values_and_per_sample_means(shape: tuple[int, ...], smoothing: float) -> None:
    logits, label = torch.randn(4, 3, *shape, generator=torch.Generator().manual_seed(0)), torch.zeros(4, *shape).long()
    loss = CrossEntropy(smoothing)
    target = F.one_hot(label, 3).float().movedim(-1, 1) * (1 - smoothing) + smoothing / 3
    expected = -(target * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss(logits, label), expected.mean())
    per_sample = loss.per_sample(logits, label)
    assert per_sample.shape == (4,)
    torch.testing.assert_close(per_sample, expected.flatten(1).mean(1) if shape else expected)


@pytest.mark.parametrize("shape", [(), (5, 6)])
def test_soft_labels(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = (torch.randn(4, 3, *shape, generator=generator) for _ in range(2))
    target = target.softmax(1)
    smoothed = 0.8 * target + 0.2 / 3
    loss = CrossEntropy(0.2)
    expected = -(smoothed * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss(logits, target), expected.mean())
    torch.testing.assert_close(loss.per_sample(logits, target), expected.view(4, -1).mean(1))
    with pytest.raises(ConfigError, match="ignore_index has no effect on labels that are probabilities"):
        CrossEntropy(ignore_index=0)(logits, target)
    with pytest.raises(ConfigError, match="probabilities of classes, of the shape"):
        loss(logits, target[:, :1])  # which would be broadcast


def test_ignored_labels_do_not_count() -> None:
    logits, label = torch.randn(3, 4, 2, 5), torch.randint(4, (3, 2, 5))
    label[0, 0], label[1, :, 2:], label[2] = 255, 255, 255
    each = -logits.log_softmax(1).gather(1, label.where(label != 255, 0).unsqueeze(1)).squeeze(1)
    loss = CrossEntropy(ignore_index=255)
    torch.testing.assert_close(loss(logits, label), each[label != 255].mean())
    expected = torch.stack([each[0, 1].mean(), each[1, :, :2].mean(), torch.tensor(torch.nan)])
    torch.testing.assert_close(loss.per_sample(logits, label), expected, equal_nan=True)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_weights_are_those_of_torch_and_scikit_learn(smoothing: float) -> None:
    """Labels below 0 are ignored."""
    label = torch.tensor([0, 0, 0, 0, 1, 2, 2, 0, -100])
    logits = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    weights = 8 / (3 * torch.tensor([5.0, 1.0, 2.0]))
    balanced = CrossEntropy(smoothing, "balanced")
    balanced.fit_to([{"label": each} for each in label.view(3, 3)])
    assert balanced.weight is not None
    torch.testing.assert_close(balanced.state_dict(), {"weight": weights})
    for loss in (balanced, CrossEntropy(smoothing, weights.tolist())):
        for name, value in (("forward", "mean"), ("per_sample", "none")):
            expected = torch.nn.CrossEntropyLoss(weights, label_smoothing=smoothing, reduction=value)(logits, label)
            torch.testing.assert_close(getattr(loss, name)(logits, label), expected)


def test_labels_of_a_dataset_are_used_without_reading_samples() -> None:
    loss = CrossEntropy(class_weights="balanced", ignore_index=255)
    loss.fit_to(SimpleNamespace(labels=[0, 1, 255, 1, 1]))
    assert loss.state_dict()["weight"].tolist() == pytest.approx([2, 2 / 3])


def test_classes_without_samples_are_told() -> None:
    loss = CrossEntropy(class_weights="balanced")
    with pytest.raises(ConfigError, match=r"the classes \[0, 2\] have no samples in the training set"):
        loss.fit_to(SimpleNamespace(labels=[1, 3]))
    with pytest.raises(ConfigError, match=r"the classes \['a', 'c'\] have no samples in the training set"):
        CrossEntropy(class_weights="balanced").fit_to(SimpleNamespace(labels=[1, 3], classes=["a", "b", "c", "d"]))
    with pytest.raises(ConfigError, match="CrossEntropy: 49 classes, such as 1, have no samples in the training set"):
        loss.fit_to(SimpleNamespace(labels=[0, 50]))
    with pytest.raises(ConfigError, match=r"need a `label` in each sample, which has \['image'\]"):
        loss.fit_to([{"image": torch.zeros(1)}])
    with pytest.raises(ConfigError, match=r"need classes as labels, not torch\.float32"):
        loss.fit_to([{"label": torch.tensor([0.5, 0.5])}])
    loss.fit_to(SimpleNamespace(labels=[0, 1]))
    with pytest.raises(ConfigError, match="are fitted to the labels 0 to 1, but logits have 3 classes"):
        loss(torch.rand(1, 3), torch.tensor([0]))
    with pytest.raises(ConfigError, match="CrossEntropy: class_weights are 2 values, but logits have 3 classes"):
        CrossEntropy(class_weights=[1, 2])(torch.rand(1, 3), torch.tensor([0]))


def test_class_weights_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="class_weights are all 0"):
        CrossEntropy(class_weights=[0, 0])


def test_soft_labels_of_another_number_of_classes_are_refused() -> None:
    problem = r"labels of floats are probabilities of classes, of the shape \(2, 3\) of the logits, not \(2, 4\)"
    with pytest.raises(ConfigError, match=problem):
        CrossEntropy()(torch.rand(2, 3), torch.rand(2, 4))

"""Cross entropy."""

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor
from torch.nn import functional as F

from project.losses.base import Loss, check_soft_labels
from project.registry import LOSS_REGISTRY, ConfigError

_IGNORES_NONE = -100  # as in torch


@LOSS_REGISTRY.register()
class CrossEntropy(Loss):
    """Cross entropy between class scores and labels, in nats.

    Labels are classes `(B, ...)`, or probabilities `(B, classes, ...)` (soft labels) as Mixup and CutMix make them.

    With class weights, each label counts with the weight of its class, and the mean is divided by the sum of these
    weights, or for soft labels by their number, as in torch.nn.CrossEntropyLoss. `balanced` weights are fitted to the N
    labels of the training set: class c of C with n samples gets N / (C n), so that all classes count alike::

        model:
          loss:
            cross_entropy: {class_weights: balanced}

    Args:
        label_smoothing: fraction of the target probability that is spread over all classes, in [0, 1).
        class_weights: weight of each class, >= 0; balanced computes them from the training set; null weighs all alike.
        ignore_index: class of the labels that do not count, such as the pixels without one; not of soft labels.
    """

    weight: Any  # a tensor or None

    def __init__(
        self,
        label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
        class_weights: Literal["balanced"] | list[Annotated[float, Ge(0)]] | None = None,
        ignore_index: int = _IGNORES_NONE,
    ) -> None:
        super().__init__()
        self.label_smoothing, self.ignore_index = label_smoothing, ignore_index
        self.is_balanced = class_weights == "balanced"
        if class_weights and not self.is_balanced and not any(class_weights):
            raise ConfigError("CrossEntropy: class_weights are all 0, so that no label counts")
        given = None if class_weights is None else torch.tensor([] if self.is_balanced else class_weights).float()
        # Values of the yaml are not saved: those of a changed yaml count.
        self.register_buffer("weight", given, persistent=self.is_balanced)

    def fit_to(self, dataset: Any) -> None:
        """Set balanced weights from the attribute `labels` of a dataset, or else from its samples."""
        labels = getattr(dataset, "labels", None)
        parts = [labels] if labels is not None else map(_label_of, dataset)
        counts = torch.zeros(0, dtype=torch.long)
        for part in parts:
            label = torch.as_tensor(part).flatten()
            if label.is_floating_point():
                raise ConfigError(
                    f"CrossEntropy: balanced class weights need classes as labels, not {label.dtype}; "
                    "give class_weights as a list"
                )
            counted = (label >= 0) & (label != self.ignore_index)
            found = torch.bincount(label[counted], minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
        if not counts.all() or not len(counts):
            names = dict(enumerate(getattr(dataset, "classes", ())))
            missing = [names.get(label, label) for label in (counts == 0).nonzero().flatten().tolist()]
            named = f"the classes {missing}" if len(missing) < 10 else f"{len(missing)} classes, such as {missing[0]},"
            raise ConfigError(
                f"CrossEntropy: {f'{named} have' if missing else 'there are'} no samples in the training "
                "set, so there are no balanced weights; give class_weights as a list"
            )
        self.weight = (counts.sum() / (len(counts) * counts.double())).to(self.weight.dtype)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the labels of the batch that count, given logits `(B, classes, ...)` and labels."""
        return self._compute(logits, label, "mean")

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the mean over the labels of each sample that count, times their weights, `(B,)`; NaN if none does."""
        loss = self._compute(logits, label, "none")
        if loss.ndim == 1:
            return loss
        loss = loss.flatten(1)
        if label.is_floating_point():
            return loss.mean(1)
        return loss.sum(1) / (label.flatten(1) != self.ignore_index).sum(1)

    def _compute(self, logits: Tensor, label: Tensor, reduction: str) -> Tensor:
        weight = self.weight
        if weight is not None and len(weight) != logits.shape[1]:
            source = f"fitted to the labels 0 to {len(weight) - 1}" if self.is_balanced else f"{len(weight)} values"
            raise ConfigError(f"CrossEntropy: class_weights are {source}, but logits have {logits.shape[1]} classes")
        if label.is_floating_point():
            check_soft_labels(self, logits, label)
            if self.ignore_index != _IGNORES_NONE:
                raise ConfigError(
                    "CrossEntropy: ignore_index has no effect on labels that are probabilities; remove it"
                )
        return F.cross_entropy(
            logits,
            label,
            weight=weight,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            reduction=reduction,
        )


def _label_of(sample: dict[str, Tensor]) -> Tensor:
    if "label" not in sample:
        raise ConfigError(f"CrossEntropy: balanced class weights need a `label` in each sample, which has {[*sample]}")
    return sample["label"]

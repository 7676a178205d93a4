"""Base class of models."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn


class Model(nn.Module, ABC):
    """Base class of models: networks that compute named tensors from a batch.

    The parameters of `forward` name the tensors of the batch that it receives. It returns a dict of named tensors, a
    dataclass or NamedTuple with tensors, or a single tensor, which the config entry names with `output`. An optional
    method `predict(**output)` returns a dict of tensors `(B, ...)`, which the stage `predict` writes; without it, the
    stage writes the output itself. In the other stages, what is one number per sample is in samples.csv: `label` as
    `prediction`, and that of the batch as `target`. A `Classifier` has it. An optional method `fit_to(dataset)`
    computes buffers from the samples of the training set before the first step (docs/fitting.md); parts of the net may
    have one, too.

    Example::

        @MODEL_REGISTRY.register()
        class Denoiser(Model):
            def __init__(self, channels: int = 3) -> None:
                super().__init__()
                self.layer = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

            def forward(self, image: Tensor) -> dict[str, Tensor]:
                return {"prediction": self.layer(image)}
    """

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Tensor | dict[str, Tensor]:
        """Compute the output from tensors of the batch."""


class Classifier(Model):
    """Base class of models that classify: `forward` returns `logits` (B, classes), of which the largest is predicted.

    Example::

        @MODEL_REGISTRY.register()
        class LinearNet(Classifier):
            def __init__(self, in_features: int, num_classes: int) -> None:
                super().__init__()
                self.layer = nn.Linear(in_features, num_classes)

            def forward(self, image: Tensor) -> dict[str, Tensor]:
                return {"logits": self.layer(image.flatten(1))}
    """

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the most likely class, `label` (B,), and its `probability` (B,)."""
        return class_and_probability(logits)


def class_and_probability(logits: Tensor) -> dict[str, Tensor]:
    """Return the most likely class `label` (B,) and its `probability` (B,) in [0, 1], given logits `(B, classes)`."""
    probability, label = logits.softmax(1).max(1)
    return {"label": label, "probability": probability}

"""Components of the engine's tests that fail or use rare features; yaml names them by dotted path."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, default_collate, get_worker_info
from torchmetrics import Metric

from project.datasets.base import Dataset
from project.losses.base import Loss
from project.models.base import Model
from project.modules.base import BaseModule, Pretrained
from project.transforms.base import BatchTransform
from project.visuals.base import Visual


class BrokenNet(Model):
    """Net that fails when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        raise ZeroDivisionError("on purpose")


class ImageOutputs(Model):
    """Net that outputs the input pictures, and the pictures at half brightness, next to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image.flatten(1)), "same": image, "half": image / 2}


class Wide(Model):
    """Net whose output also contains a tensor `(B, C, H, W)` and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.layer(image.flatten(1))
        return {"logits": logits, "map": image, "mean": logits.mean()}


class Lenient(Wide):
    """Net with an argument without annotation, and one that may be null although its annotation does not say so."""

    def __init__(self, anything=None, nothing: int = None) -> None:  # type: ignore  # noqa: RUF013
        super().__init__()


class UnbuiltNet(Model):
    """Net whose constructor fails."""

    def __init__(self) -> None:
        raise ZeroDivisionError("on purpose")

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {}


class BrokenLoss(Loss):
    """Loss that fails when it is called."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        raise ZeroDivisionError("on purpose")


class Odd(Loss):
    """Loss that returns a number instead of a tensor."""

    def forward(self, logits: Tensor) -> Tensor:
        return 1.5  # type: ignore[return-value]


class Detached(Loss):
    """Loss without a gradient."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.detach().mean()


class WithoutSuper(Loss):
    """Loss whose constructor does not call that of its base."""

    def __init__(self) -> None:
        self.factor = 2.0

    def forward(self, logits: Tensor) -> Tensor:
        return self.factor * logits.mean()


class Weighted(Loss):
    """Loss with a constructor argument that is also a reserved key of loss entries."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()

    def forward(self, logits: Tensor) -> Tensor:
        return logits.mean()


class Masked(Loss):
    """Loss with an optional tensor."""

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        return logits.mean() if mask is None else (logits * mask).mean()


class Stateless(Metric):
    """Metric that keeps its sum in an attribute, without add_state."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.zeros(())

    def update(self, label: Tensor) -> None:
        self.total += label.sum()

    def compute(self) -> Tensor:
        return self.total


class Silent(BrokenNet):
    """Net that returns None."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return None  # type: ignore[return-value]


class Wrapped(Model):
    """Net with arguments that are nets."""

    def __init__(self, backbone: Model, scale: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale or nn.Identity()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.scale(self.backbone(image)["logits"])}


class Grey(Visual):
    """Visual that returns a picture without color channels."""

    def __call__(self, image: Tensor) -> Tensor:
        return image[0, 0]


class IndexImages(Dataset):
    """Dataset whose images are filled with the index of the sample; it has no `__getitems__`."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self.length = length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.full((1, 8, 8), float(index)), "label": torch.tensor(index % 10)}

    def __len__(self) -> int:
        return self.length


class NamedSamples(IndexImages):
    """Dataset whose samples have names."""

    def name(self, index: int) -> str:
        """Return a relative path."""
        return f"{'odd' if index % 2 else 'even'}/{index}"


class Resampled(NamedSamples):
    """Dataset whose `collate` drops samples, or makes several rows of each.

    Args:
        length: number of samples.
        rows: number of rows of the sample with an index that leaves this remainder; it takes len(rows) remainders.
        keeps_index: whether the batch contains the `index` of its rows.
        kind: load by sample, or with a `__getitems__` that returns samples or a batch.
    """

    def __init__(
        self,
        length: int = 10,
        rows: tuple[int, ...] = (1, 0, 1),
        keeps_index: bool = True,
        kind: Literal["sample", "samples", "batch"] = "sample",
    ) -> None:
        super().__init__(length)
        self.rows, self.keeps_index = rows, keeps_index
        if kind != "sample":
            self.__getitems__ = self.load_batch if kind == "batch" else self.load_samples

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return super().__getitem__(index) | {"number": torch.tensor(index)}

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the batch of the rows; an empty one without rows."""
        rows = [sample for sample in samples for _ in range(self.rows[int(sample["number"]) % len(self.rows)])]
        if not self.keeps_index:
            rows = [{name: row[name] for name in ("image", "label", "number")} for row in rows]
        return default_collate(rows) if rows else {}

    def load_samples(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """Return the samples."""
        return [self[index] for index in indices]

    def load_batch(self, indices: list[int]) -> dict[str, Tensor]:
        """Return the batch."""
        return self.collate([self[index] | {"index": torch.tensor(index)} for index in indices])


class ResampledStream(IterableDataset[dict[str, Tensor]]):
    """The same rows as an iterable dataset.

    Args:
        length: number of samples.
        rows: as in Resampled.
        keeps_index: whether the samples have an `index`.
    """

    def __init__(self, length: int = 10, rows: tuple[int, ...] = (1, 0, 1), keeps_index: bool = True) -> None:
        self.inner, self.keeps_index = Resampled(length, rows, keeps_index), keeps_index
        self.collate = self.inner.collate

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in range(len(self.inner)):
            yield self.inner[index] | ({"index": torch.tensor(index)} if self.keeps_index else {})


class Infinite(IndexImages):
    """Dataset with one sample that is not finite."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return super().__getitem__(index) | {"image": torch.full((1, 8, 8), torch.inf if index == 4 else 1.0)}


class Growing(IndexImages):
    """Dataset whose images become wider with the index."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.zeros(1, 8, 8 + index), "label": torch.tensor(0)}


class RepeatedTwice(Dataset):
    """Dataset that contains another dataset twice."""

    def __init__(self, inner: Dataset) -> None:
        super().__init__()
        self.inner = inner

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.inner[index % len(self.inner)]

    def __len__(self) -> int:
        return 2 * len(self.inner)


class OwnOptimizer(torch.optim.SGD):
    """Optimizer whose constructor fails."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        raise ValueError("on purpose")


class Filed(IndexImages):
    """Dataset that fails if `data_dir` does not exist."""

    def __init__(self, data_dir: str) -> None:
        super().__init__()
        if not Path(data_dir).exists():
            raise FileNotFoundError(f"no pictures in {data_dir}")


class Around(IndexImages):
    """Dataset that contains another one."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__()
        self.dataset = dataset


class BrokenDataset(IndexImages):
    """Dataset that fails when a sample is loaded."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        raise ZeroDivisionError("on purpose")


class WithoutLength:
    """Dataset that does not tell its length."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return IndexImages()[index]


class BrokenLength(IndexImages):
    """Dataset that fails when its samples are counted."""

    def __len__(self) -> int:
        raise ZeroDivisionError("on purpose")


class Bare(IndexImages):
    """Dataset whose samples are tensors instead of dicts."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return torch.zeros(1)  # type: ignore[return-value]


class CustomCollateAndOrder(IndexImages):
    """Dataset with a `collate` and an `order` of its own."""

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the batch with the number of its samples as `size` (B,)."""
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        return batch | {"size": torch.full((len(samples),), len(samples))}

    def order(self, seed: int, epoch: int) -> list[int]:
        """Return the indices in reverse order; in odd epochs the first half of them."""
        return list(range(self.length))[::-1][: self.length // (1 + epoch % 2)]


class IndexStream(IterableDataset[dict[str, Tensor]]):
    """Iterable dataset without a length; the images are filled with the index."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self.length = length

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in range(self.length):
            yield {"image": torch.full((1, 8, 8), float(index)), "label": torch.tensor(index % 10)}


class AnnouncedIndexStream(IndexStream):
    """Iterable dataset with a length that may be wrong; none for null."""

    def __init__(self, length: int = 10, announced: int | None = None) -> None:
        super().__init__(length)
        self.announced = announced

    def __len__(self) -> int:
        if self.announced is None:
            raise TypeError("no length")
        return self.announced


class ShardedIndexStream(IndexStream):
    """Iterable dataset that divides its samples among workers."""

    is_sharded = True

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = get_worker_info()
        for index, sample in enumerate(super().__iter__()):
            if info is None or index % info.num_workers == info.id:
                yield sample


class OnePass(IndexStream):
    """Iterable dataset that can be read once."""

    def __init__(self, length: int = 10) -> None:
        super().__init__(length)
        self.samples = super().__iter__()

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        yield from self.samples


class TwoLoaders(pl.LightningDataModule):
    """Data module that does not derive from the engine's: a loader per size for val, test and predict."""

    def __init__(self, sizes: list[int], batch_size: int = 4) -> None:
        super().__init__()
        self.sizes, self.batch_size = sizes, batch_size

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(IndexImages(8), batch_size=self.batch_size)

    def val_dataloader(self) -> list[DataLoader[dict[str, Tensor]]]:
        return [DataLoader(IndexImages(size), batch_size=self.batch_size) for size in self.sizes]

    test_dataloader = predict_dataloader = val_dataloader


class LogsVectors(BaseModule):
    """Module that logs a vector, which Lightning refuses."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(64, size)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        scores: Tensor = self.layer(batch["image"].flatten(1))
        self.log("scores", scores)
        return scores.mean()


class GradientNorms(Callback):
    """Callback that writes the norm of the gradient of each step to norms.pt."""

    def __init__(self, order: float = 2.0) -> None:
        self.order = order
        self.norms: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        gradients = [parameter.grad.flatten() for parameter in pl_module.parameters() if parameter.grad is not None]
        self.norms.append(float(torch.linalg.vector_norm(torch.cat(gradients), self.order)))

    def on_train_end(self, *_: Any) -> None:
        torch.save(self.norms, "norms.pt")


class NeedsPackage(Callback):
    """Callback of a package that is not installed."""

    def __init__(self) -> None:
        raise ModuleNotFoundError("HINT: Try running `pip install -U 'no-such-package>=1.2'`")


class FailAfterFirstBatch(Callback):
    """Callback that fails after the first training batch."""

    def on_train_batch_end(self, *_: Any) -> None:
        raise ZeroDivisionError("a batch was done")


def build_untyped(width: int):  # type: ignore[no-untyped-def]
    """Build a net; without a return annotation, it cannot be a type."""
    return nn.Linear(width, width)


def build_number(width: int) -> int:
    """Return no net."""
    return width


class ForgetsPretrained(LogsVectors):
    """Module that takes the weights to start with, and does not keep them for the engine."""

    def __init__(self, pretrained: Pretrained | None = None) -> None:
        super().__init__()


class Blend(BatchTransform):
    """Average of each sample with another one."""

    def mix(self, batch: dict[str, Tensor], other: Tensor) -> dict[str, Tensor]:
        return {name: (value + value[other]) / 2 for name, value in batch.items()}

"""Classes that fail, or do what few do, for the engine's tests; the yaml names them by their dotted paths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from project.core.module import BaseModule
from project.datasets.base import Dataset
from project.losses.base import Loss
from project.models.base import Model
from project.visuals.base import Visual


class BrokenNet(Model):
    """Fails when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        raise ZeroDivisionError("on purpose")


class Restored(Model):
    """Gives the picture back, and half of it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image.flatten(1)), "same": image, "half": image / 2}


class Wide(Model):
    """Gives more than one row per sample: a map, and a value of the whole batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        logits = self.layer(image.flatten(1))
        return {"logits": logits, "map": image, "mean": logits.mean()}


class UnbuiltNet(Model):
    """Fails when it is built."""

    def __init__(self) -> None:
        raise ZeroDivisionError("on purpose")

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {}


class BrokenLoss(Loss):
    """Fails when it is called."""

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        raise ZeroDivisionError("on purpose")


class Odd(Loss):
    """Returns a number."""

    def forward(self, logits: Tensor) -> Tensor:
        return 1.5  # type: ignore[return-value]


class Weighted(Loss):
    """Has an argument of a name that the engine uses."""

    def __init__(self, weight: list[float]) -> None:
        super().__init__()

    def forward(self, logits: Tensor) -> Tensor:
        return logits.mean()


class Masked(Loss):
    """Has an optional tensor."""

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        return logits.mean() if mask is None else (logits * mask).mean()


class Silent(BrokenNet):
    """Returns nothing."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return None  # type: ignore[return-value]


class Wrapped(Model):
    """Holds another net."""

    def __init__(self, backbone: Model, scale: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale or nn.Identity()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.scale(self.backbone(image)["logits"])}


class Grey(Visual):
    """Forgets the colours."""

    def __call__(self, image: Tensor) -> Tensor:
        return image[0, 0]


class Counted(Dataset):
    """Sample by sample: the image is filled with the sample's number."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self.length = length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.full((1, 8, 8), float(index)), "label": torch.tensor(index % 10)}

    def __len__(self) -> int:
        return self.length


class Named(Counted):
    """Knows what its samples are called."""

    def name(self, index: int) -> str:
        """A path, as of a file."""
        return f"{'odd' if index % 2 else 'even'}/{index}"


class Infinite(Counted):
    """Has a sample that is not finite."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return super().__getitem__(index) | {"image": torch.full((1, 8, 8), torch.inf if index == 4 else 1.0)}


class Growing(Counted):
    """Each sample is larger than the one before."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.zeros(1, 8, 8 + index), "label": torch.tensor(0)}


class Doubled(Dataset):
    """Holds another dataset, twice over."""

    def __init__(self, inner: Dataset) -> None:
        super().__init__()
        self.inner = inner

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.inner[index % len(self.inner)]

    def __len__(self) -> int:
        return 2 * len(self.inner)


class OwnOptimizer(torch.optim.SGD):
    """Has a bug."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        raise ValueError("on purpose")


class Filed(Counted):
    """Looks for its folder."""

    def __init__(self, data_dir: str) -> None:
        super().__init__()
        if not Path(data_dir).exists():
            raise FileNotFoundError(f"no pictures in {data_dir}")


class BrokenDataset(Counted):
    """Fails when it is read."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        raise ZeroDivisionError("on purpose")


class Bare(Counted):
    """Yields tensors without a name."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return torch.zeros(1)  # type: ignore[return-value]


class Collated(Counted):
    """Has a `collate` and an `order` of its own."""

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The batch, with the number of its samples."""
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        return batch | {"size": torch.full((len(samples),), len(samples))}

    def order(self, seed: int, epoch: int) -> list[int]:
        """Backwards, and half of them in odd epochs."""
        return list(range(self.length))[::-1][: self.length // (1 + epoch % 2)]


class Stream(IterableDataset[dict[str, Tensor]]):
    """Iterable, without a length."""

    def __init__(self, length: int = 10) -> None:
        super().__init__()
        self.length = length

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in range(self.length):
            yield {"image": torch.full((1, 8, 8), float(index)), "label": torch.tensor(index % 10)}


class OwnData(pl.LightningDataModule):
    """Two validation and two test loaders, the owner's own way."""

    def __init__(self, sizes: list[int], batch_size: int = 4) -> None:
        super().__init__()
        self.sizes, self.batch_size = sizes, batch_size

    def train_dataloader(self) -> Any:
        return DataLoader(Counted(8), batch_size=self.batch_size)

    def val_dataloader(self) -> Any:
        return [DataLoader(Counted(size), batch_size=self.batch_size) for size in self.sizes]

    test_dataloader = predict_dataloader = val_dataloader


class LogsVectors(BaseModule):
    """Logs what Lightning refuses."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(64, size)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        scores: Tensor = self.layer(batch["image"].flatten(1))
        self.log("scores", scores)
        return scores.mean()


class GradientNorms(Callback):
    """Writes the norm of the gradient that each step used to norms.pt."""

    def __init__(self, order: float = 2.0) -> None:
        self.order = order
        self.norms: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        gradients = [parameter.grad.flatten() for parameter in pl_module.parameters() if parameter.grad is not None]
        self.norms.append(float(torch.linalg.vector_norm(torch.cat(gradients), self.order)))

    def on_train_end(self, *_: Any) -> None:
        torch.save(self.norms, "norms.pt")


class NoBatchMayEnd(Callback):
    """Fails when a training batch was done."""

    def on_train_batch_end(self, *_: Any) -> None:
        raise ZeroDivisionError("a batch was done")

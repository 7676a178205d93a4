"""The LightningDataModule of the engine."""

import atexit
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.accelerators import CUDAAccelerator
from torch.utils.data import DataLoader

from project.core.errors import ConfigError, note_where
from project.core.fetch import Batch, build_loader
from project.core.interruption import end_workers, leave_signals_to_the_main_process
from project.core.order import Place
from project.core.randomness import batches_done
from project.core.stream import StreamLoader
from project.registry import Dataset

MakeDataset = Callable[[], Dataset]
NameOf = Callable[[int], str]
Sets = dict[str, MakeDataset]  # a set that stands alone has the name ""
DATA_DIR = "data"


class DataModule(pl.LightningDataModule):
    """Train, val, eval and predict sets of one shape; one that is absent means that its stage is not done.

    Args:
        train: the training set.
        val: the validation set, or several by name.
        eval: the set of the stage `test`, or several by name.
        predict: the set of the stage `predict`; `eval` unless given.
        data_dir: where the data lies; a dataset with an argument `data_dir` gets it.
        batch_size: samples per step over all devices, not counting accumulation.
        num_workers: worker processes per loader; 0 loads in the main process.
        pin_memory: copy batches to pinned memory; null does so for CUDA.
        prefetch_factor: batches that each worker keeps ready.
        persistent_workers: keep the workers from epoch to epoch.
        seed: given by the engine.
    """

    def __init__(
        self,
        train: MakeDataset | None = None,
        val: Sets | None = None,
        eval: Sets | None = None,
        predict: Sets | None = None,
        data_dir: str = DATA_DIR,
        batch_size: int = 1,
        num_workers: int = 0,
        pin_memory: bool | None = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ConfigError(f"data.batch_size is {batch_size}; it must be at least 1")
        if num_workers < 0:
            raise ConfigError(f"data.num_workers is {num_workers}; it must be at least 0")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ConfigError(f"data.prefetch_factor is {prefetch_factor}; it must be at least 1")
        self.sets: dict[str, Sets] = {
            "train": {"": train} if train else {},
            "val": val or {},
            "eval": eval or {},
            "predict": predict or eval or {},
        }
        self.data_dir, self.batch_size, self.seed = data_dir, batch_size, seed
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self.datasets: dict[str, Dataset] = {}

    def set_names(self, part: str) -> list[str]:
        """The names of the sets of a part, in the order of its loaders; a single set has the name ''."""
        return list(self.sets[part])

    def check(self, part: str, trainer: pl.Trainer) -> None:
        """Raises ConfigError where a part is not set, or the devices cannot share a batch evenly."""
        self._refuse_absent(part)
        if self.batch_size % devices(trainer):
            raise ConfigError(
                f"data.batch_size is {self.batch_size}, which {devices(trainer)} devices cannot share evenly"
            )

    def train_dataloader(self) -> DataLoader[Batch]:
        loader = self._loaders("train")[0]
        if isinstance(loader, StreamLoader):
            self._say_how_exact(loader)
        return loader

    def val_dataloader(self) -> list[DataLoader[Batch]]:
        fitting = self.trainer is not None and self.trainer.state.fn == "fit"
        return [] if fitting and not self.sets["val"] else self._loaders("val")

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        return self._loaders("eval")

    def predict_dataloader(self) -> list[DataLoader[Batch]]:
        return self._loaders("predict")

    def eval_dataloaders(self, max_samples: int | None) -> list[DataLoader[Batch]]:
        """Loaders of the eval sets for an evaluation along the way, of the first samples only where that is said."""
        return self._loaders("eval", max_samples)

    def _loaders(self, part: str, max_samples: int | None = None) -> list[DataLoader[Batch]]:
        self._refuse_absent(part)
        return [self._loader(part, name, max_samples) for name in self.sets[part]]

    def _refuse_absent(self, part: str) -> None:
        if not self.sets[part]:
            raise ConfigError(f"data.{part} is not set, so this stage has nothing to work on")

    def _loader(self, part: str, name: str, max_samples: int | None) -> DataLoader[Batch]:
        where = _where(part, name)
        if where not in self.datasets:
            self.datasets[where] = _build(self.sets[part][name], where)
        workers: dict[str, Any] = {"num_workers": self.num_workers, "pin_memory": self._pins()}
        if self.num_workers:
            workers |= {"prefetch_factor": self.prefetch_factor, "persistent_workers": self.persistent_workers}
            workers["worker_init_fn"] = leave_signals_to_the_main_process
            atexit.unregister(end_workers)
            atexit.register(end_workers)
        training = part == "train"
        share = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        position = self._position if training else Place
        dataset = self.datasets[where]
        return build_loader(
            dataset, where, self.batch_size, self.seed, training, share, position, max_samples, **workers
        )

    def _position(self) -> Place:
        """Where training stands; read from what a checkpoint restores."""
        if self.trainer is None:
            return Place()
        loop: Any = self.trainer.fit_loop
        frozen = self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        epoch = 0 if frozen else loop.epoch_progress.current.processed
        return Place(epoch, loop.epoch_loop.batch_progress.current.processed, batches_done(self.trainer))

    def _say_how_exact(self, loader: StreamLoader) -> None:
        stream, processes = loader.stream, self.trainer.world_size if self.trainer else 1
        if not stream.stateful:
            why = "has no state_dict and load_state_dict"
        elif self.num_workers > 1 or processes > 1:
            why = "is read by several processes"
        else:
            return
        name = type(stream.dataset).__name__
        logger.warning(f"data.train ({name}) is iterable and {why}: a run resumed within an epoch is not exact")

    def _pins(self) -> bool:
        if self.pin_memory is None:
            return self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator)
        return self.pin_memory


def devices(trainer: pl.Trainer) -> int:
    """How many devices a run has, also before they have found each other."""
    return trainer.num_devices * trainer.num_nodes


def set_name(trainer: pl.Trainer, part: str, index: int) -> str:
    """The name of a set of a part (val, eval, predict): the yaml's, or its number; none for a set that stands alone."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, DataModule):
        return data.set_names(part)[index]
    loaders = {"val": trainer.num_val_batches, "eval": trainer.num_test_batches, "predict": trainer.num_predict_batches}
    return str(index) if len(loaders[part]) > 1 else ""


def part_name(trainer: pl.Trainer, part: str, index: int) -> str:
    """`val`, or `val/SET` where the set has a name."""
    return "/".join(filter(None, (part, set_name(trainer, part, index))))


def sample_name(trainer: pl.Trainer, part: str, index: int) -> NameOf | None:
    """What a set's dataset calls its samples, if it has a `name(index)`."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    dataset = data.datasets[_where(part, data.set_names(part)[index])] if isinstance(data, DataModule) else None
    name = getattr(dataset, "name", None)
    return name if callable(name) else None


def _where(part: str, name: str) -> str:
    return f"data.{part}.{name}" if name else f"data.{part}"


def _build(make: MakeDataset, where: str) -> Dataset:
    try:
        return make()
    except FileNotFoundError as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:
        note_where(error, f"{where}, while it was built")
        raise

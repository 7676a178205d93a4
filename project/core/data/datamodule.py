"""The engine's LightningDataModule."""

import atexit
from collections.abc import Callable
from typing import Annotated, Any

import pytorch_lightning as pl
from annotated_types import Ge
from loguru import logger
from pytorch_lightning.accelerators import CUDAAccelerator
from pytorch_lightning.utilities.seed import isolate_rng
from torch.utils.data import DataLoader, IterableDataset

from project.core.config.construction import build_dataset
from project.core.config.settings import DEFAULT_DATA_DIR
from project.core.data.loading import build_loader
from project.core.data.sampling import TrainingPosition
from project.core.data.seeding import batches_done
from project.core.data.streams import StreamLoader
from project.core.data.tensors import Tensors
from project.core.data.workers import prepare_worker, start_method
from project.core.distributed.signals import kill_workers
from project.core.errors import ConfigError
from project.core.file_names import check_file_name
from project.registry import Dataset, Transform

MakeDataset = Callable[[], Dataset]
SampleNamer = Callable[[int], str]
NamedDatasets = dict[str, MakeDataset]  # the name of a single dataset is ""


class DataModule(pl.LightningDataModule):
    """Data module of four splits: train, val, eval and predict. A stage is refused if its split is not set.

    Args:
        train: training set.
        val: validation set, or several by name.
        eval: dataset of the stage `test`, or several by name.
        predict: dataset of the stage `predict`, or several by name; null takes `eval`.
        batch_augmentation: transforms by name of each process's share of a training batch, such as Mixup.
        data_dir: directory of the data; datasets with an argument `data_dir` get it.
        batch_size: samples per batch, summed over all devices; training needs a multiple of their number.
        num_workers: worker processes per loader; 0 loads in the main process.
        pin_memory: copy batches to pinned memory; null does so for CUDA.
        prefetch_factor: batches that each worker loads in advance.
        persistent_workers: keep workers from epoch to epoch.
        seed: given by the engine.
    """

    def __init__(
        self,
        train: MakeDataset | None = None,
        val: NamedDatasets | None = None,
        eval: NamedDatasets | None = None,
        predict: NamedDatasets | None = None,
        batch_augmentation: dict[str, Transform] | None = None,
        data_dir: str = DEFAULT_DATA_DIR,
        batch_size: Annotated[int, Ge(1)] = 1,
        num_workers: Annotated[int, Ge(0)] = 0,
        pin_memory: bool | None = None,
        prefetch_factor: Annotated[int, Ge(1)] | None = None,
        persistent_workers: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.splits: dict[str, NamedDatasets] = {
            "train": {"": train} if train else {},
            "val": val or {},
            "eval": eval or {},
            "predict": predict or eval or {},
        }
        for split, datasets in self.splits.items():
            for name in filter(None, datasets):
                check_file_name(name, f"data.{split}: the name")  # of a directory of results
        self.data_dir, self.batch_size, self.seed = data_dir, batch_size, seed
        self.batch_augmentation = list((batch_augmentation or {}).values())
        self.num_workers, self.pin_memory = num_workers, pin_memory
        if prefetch_factor is not None and not num_workers:
            logger.warning("data.prefetch_factor has no effect: data.num_workers is 0, so no worker prefetches")
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self.prepare_worker: Callable[[int], None] = prepare_worker  # called in each worker before its first batch
        self.datasets: dict[str, Dataset] = {}  # by config path

    def dataset_names(self, split: str) -> list[str]:
        """Return the names of a split's datasets, in the order of its loaders; [''] for a single dataset."""
        return list(self.splits[split])

    def check(self, split: str, trainer: pl.Trainer) -> None:
        """Raise ConfigError if a split is not set, or a training batch cannot be divided evenly by the devices."""
        self._check_split(split)
        devices = num_devices(trainer)
        if split == "train" and self.batch_size % devices:
            raise ConfigError(
                f"data.batch_size is {self.batch_size}; training needs one divisible by {devices} devices"
            )

    def build_training_set(self) -> Dataset:
        """Build the training set, without a loader."""
        return build_dataset(self.splits["train"][""], _config_path("train", ""))

    def train_dataloader(self) -> DataLoader[Tensors]:
        loader = self._loaders("train")[0]
        if isinstance(loader, StreamLoader):
            self._warn_if_not_exact(loader)
        return loader

    def val_dataloader(self) -> list[DataLoader[Tensors]]:
        is_fit = self.trainer is not None and self.trainer.state.fn == "fit"
        return [] if is_fit and not self.splits["val"] else self._loaders("val")

    def test_dataloader(self) -> list[DataLoader[Tensors]]:
        return self._loaders("eval")

    def predict_dataloader(self) -> list[DataLoader[Tensors]]:
        return self._loaders("predict")

    def eval_dataloaders(self, max_samples: int | None) -> list[DataLoader[Tensors]]:
        """Return loaders of the eval datasets, of their first `max_samples` samples if that is given."""
        return self._loaders("eval", max_samples)

    def training_set(self) -> Dataset:
        """Return the training set; of an iterable one, which may be read only once, another instance."""
        return self.first_dataset("train")[0]

    def first_dataset(self, split: str) -> tuple[Dataset, str]:
        """Return the first dataset of a split, and its config path; of an iterable one, another instance."""
        self._check_split(split)
        name = self.dataset_names(split)[0]
        path, dataset = _config_path(split, name), self._dataset(split, name)
        if isinstance(dataset, IterableDataset):
            with isolate_rng():
                return build_dataset(self.splits[split][name], path), path
        return dataset, path

    def predict_on(self, dataset: Dataset) -> None:
        """Let the stage `predict` take a dataset that the yaml does not name."""
        self.splits["predict"] = {"": lambda: dataset}

    def on_exception(self, exception: BaseException) -> None:
        kill_workers()

    def _loaders(self, split: str, max_samples: int | None = None) -> list[DataLoader[Tensors]]:
        self._check_split(split)
        return [self._loader(split, name, max_samples) for name in self.splits[split]]

    def _check_split(self, split: str) -> None:
        if not self.splits[split]:
            raise ConfigError(f"data.{split} is not set; this stage needs it")

    def _loader(self, split: str, name: str, max_samples: int | None) -> DataLoader[Tensors]:
        path, dataset = _config_path(split, name), self._dataset(split, name)
        workers: dict[str, Any] = {"num_workers": self.num_workers, "pin_memory": self._pins_memory()}
        if self.num_workers:
            workers |= {"prefetch_factor": self.prefetch_factor, "persistent_workers": self.persistent_workers}
            workers |= {"worker_init_fn": self.prepare_worker, "multiprocessing_context": start_method()}
            atexit.unregister(kill_workers)
            atexit.register(kill_workers)
        is_training = split == "train"
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        get_position = self._position if is_training else TrainingPosition
        common = (dataset, path, self.batch_size, self.seed, is_training)
        limits = (max_samples, self._is_limited(split))
        transforms = self.batch_augmentation if is_training else ()
        return build_loader(*common, rank, world_size, get_position, *limits, transforms, **workers)

    def _dataset(self, split: str, name: str) -> Dataset:
        path = _config_path(split, name)
        if path not in self.datasets:
            self.datasets[path] = build_dataset(self.splits[split][name], path)
            self._warn_if_read_repeatedly(path, split == "train")
            if split == "train":
                self._warn_if_one_class(path)
            for other in self.datasets if split == "train" else [path]:
                self._warn_if_numbered_otherwise(other)
        return self.datasets[path]

    def _is_limited(self, split: str) -> bool:
        """Return whether the trainer takes a fraction of a split's batches, for which their number must be known."""
        setting = f"limit_{'test' if split == 'eval' else split}_batches"
        limit = getattr(self.trainer, setting, 1.0)
        return isinstance(limit, float) and limit < 1.0

    def _position(self) -> TrainingPosition:
        """Return the position in the training, which a checkpoint restores."""
        if self.trainer is None:
            return TrainingPosition()
        loop: Any = self.trainer.fit_loop
        repeats_epoch = self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        epoch = 0 if repeats_epoch else loop.epoch_progress.current.processed
        batch = loop.epoch_loop.batch_progress.current.processed
        return TrainingPosition(epoch, batch, batches_done(self.trainer))

    def _warn_if_not_exact(self, loader: StreamLoader) -> None:
        stream, world_size = loader.stream, self.trainer.world_size if self.trainer else 1
        if not stream.is_stateful:
            reason = "has no state_dict and load_state_dict"
        elif self.num_workers > 1 or world_size > 1:
            reason = "is read by several processes"
        else:
            return
        name = type(stream.dataset).__name__
        logger.warning(f"data.train ({name}) is iterable and {reason}: resuming within an epoch is not exact")

    def _warn_if_read_repeatedly(self, path: str, is_training: bool) -> None:
        """Warn if an iterable dataset does not say that it divides its samples among the processes that read it."""
        dataset, workers = self.datasets[path], max(1, self.num_workers)
        readers = workers * (self.trainer.world_size if self.trainer and is_training else 1)
        if readers == 1 or not isinstance(dataset, IterableDataset) or getattr(dataset, "is_sharded", False):
            return
        effect = (
            f"{readers} processes load it, and unless it divides its samples, an epoch has each {readers} times"
            if is_training
            else f"it is read by one of {workers} workers, since each would read all samples"
        )
        logger.warning(
            f"{path} ({type(dataset).__name__}) is iterable: {effect}\nLet `__iter__` yield the share of a process "
            "(torch.utils.data.get_worker_info, torch.distributed.get_rank), and set `is_sharded = True` in the class"
        )

    def _warn_if_one_class(self, path: str) -> None:
        classes = getattr(self.datasets[path], "classes", None)
        if isinstance(classes, list | tuple) and len(classes) == 1:
            name = type(self.datasets[path]).__name__
            logger.warning(f"{path} ({name}) has only one class, {classes[0]!r}: there is nothing to tell it from")

    def _warn_if_numbered_otherwise(self, path: str) -> None:
        """Warn if a label means another class than in the training set, as where a directory lacks one of them."""
        own, trained = (getattr(self.datasets.get(each), "classes", None) for each in (path, _config_path("train", "")))
        if not (isinstance(own, list | tuple) and isinstance(trained, list | tuple)):
            return
        for label, (name, expected) in enumerate(zip(own, trained, strict=False)):
            if name != expected:
                logger.warning(
                    f"label {label} is {expected!r} in data.train, but {name!r} in {path}, so metrics of it are wrong\n"
                    "Give both datasets the same classes in the same order, as with classes: ${data.classes}"
                )
                return

    def _pins_memory(self) -> bool:
        if self.pin_memory is None:
            return self.trainer is not None and isinstance(self.trainer.accelerator, CUDAAccelerator)
        return self.pin_memory


def num_devices(trainer: pl.Trainer) -> int:
    """Return the number of devices of a run; `world_size` is right only after the processes are connected."""
    return trainer.num_devices * trainer.num_nodes


def dataset_name(trainer: pl.Trainer, split: str, index: int) -> str:
    """Return a dataset's name in the yaml, or its index in a data module of the user's own; '' for a single dataset."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, DataModule):
        return data.dataset_names(split)[index]
    loaders = {"val": trainer.num_val_batches, "eval": trainer.num_test_batches, "predict": trainer.num_predict_batches}
    return str(index) if len(loaders[split]) > 1 else ""


def metric_prefix(trainer: pl.Trainer, split: str, index: int) -> str:
    """Return `val`, or `val/NAME` if the dataset has a name."""
    return "/".join(filter(None, (split, dataset_name(trainer, split, index))))


def sample_namer(trainer: pl.Trainer, split: str, index: int) -> SampleNamer | None:
    """Return the `name` method of a dataset, which names its samples; None if it has none."""
    name = getattr(find_dataset(trainer, split, index), "name", None)
    return name if callable(name) else None


def find_dataset(trainer: pl.Trainer, split: str, index: int) -> Dataset | None:
    """Return a dataset of the engine's data module; None for a data module of the user's own."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DataModule):
        return None
    return data.datasets[_config_path(split, data.dataset_names(split)[index])]


def _config_path(split: str, name: str) -> str:
    return f"data.{split}.{name}" if name else f"data.{split}"

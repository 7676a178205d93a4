"""Components that are fitted to the training set: `fit_to`."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import sized_len
from loguru import logger
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.seed import isolate_rng
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.utils.data import IterableDataset

from project.core.config.terms import Inputs
from project.core.data.datamodule import DataModule
from project.core.data.seeding import FIT, seed_all
from project.core.data.tensors import describe_shapes
from project.core.data.training_samples import Track, TrainingSamples
from project.core.distributed.signals import InterruptedStart, Interruption
from project.core.errors import ConfigError, RunStopped, find_cause, is_user_error, join_names, located, user_message

_LONGEST_FIT = timedelta(days=30)  # after which processes that wait for the first one give up
_PREFIXES = {"losses.": "loss.", "fitted_metrics.": "metric."}  # names in a SupervisedModule and in its yaml


class FitToTrainingSet(Callback):
    """Callback that fits the components of a new run before its first step; it must be called before all others.

    Each part of the module that has a method `fit_to` and state gets the training set, on the first process, in the
    order of `named_modules`. Its state is then sent to the other processes. In a run that is resumed the state comes
    from the checkpoint, and with `--finetune` that of components whose buffers were loaded.

    Args:
        seed: seed of the run; each component draws under a seed of its own.
        interruption: receives the signals that ask the run to stop.
        is_resumed: whether the run is resumed from a checkpoint.
    """

    def __init__(self, seed: int, interruption: Interruption, is_resumed: bool) -> None:
        self.seed, self.interruption, self.is_resumed = seed, interruption, is_resumed
        self.loaded: frozenset[str] = frozenset()  # names of tensors from other weights
        self._known: set[str] = set()  # names of the parts in `setup`

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for name in _fitted_parts(pl_module).keys() - self._known:
            raise ConfigError(f"{_config_path(name)} has a fit_to, but was built after fitting: build it in __init__")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._known = {*_fitted_parts(pl_module)}
        parts = {} if self.is_resumed else self._parts_to_fit(pl_module)
        if not parts:
            return
        dataset = _training_set(trainer, parts)
        group, states = None, None
        if trainer.world_size > 1:
            # The others wait as long as it takes, whatever the setting `timeout`.
            group = torch.distributed.new_group(backend="gloo", timeout=_LONGEST_FIT)
        if trainer.is_global_zero:
            with _reporting_failure(group), self.interruption.raising():
                for name, part in parts.items():
                    self._fit(name, part, dataset, trainer, pl_module)
            states = {name: part.state_dict() for name, part in parts.items()}
        if group is not None:
            states = _broadcast(states, group)
            if isinstance(states, _Failure):
                states.raise_here()
            for name, part in parts.items() if not trainer.is_global_zero else ():
                adopt_shapes(part, states[name])
                part.load_state_dict(states[name])
            torch.distributed.destroy_process_group(group)

    def _parts_to_fit(self, module: nn.Module) -> dict[str, nn.Module]:
        """Return the parts of a module that are fitted, by name, without those whose buffers were loaded."""
        parts = {}
        for name, part in _fitted_parts(module).items():
            tensors = part.state_dict()
            names = {f"{name}.{each}".lstrip(".") for each in dict(part.named_buffers()).keys() & tensors or tensors}
            if names <= self.loaded:
                logger.info(f"{_config_path(name)} is not fitted: its state was loaded")
            else:
                parts[name] = part
        return parts

    def _fit(self, name: str, part: Any, dataset: Any, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        location, start = f"{_config_path(name)} ({type(part).__name__})", time.monotonic()
        attributes, buffers = {key: _objects(value) for key, value in vars(part).items()}, dict(part.named_buffers())
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        with _showing_progress(f"fitting {_config_path(name)}") as track, isolate_rng():
            samples = TrainingSamples(dataset, self.seed, data.num_workers, _inputs_of(module, part), track)
            seed_all(self.seed, FIT, name)
            with located(f"{location}, while it was fitted"), torch.no_grad():
                part.fit_to(samples)
        _finish_buffers(location, part, attributes, buffers)
        count = sized_len(dataset)
        what = "the training set" if count is None else f"{count} samples"
        logger.info(f"fitted {_config_path(name)} to {what} in {time.monotonic() - start:.1f} s")


@contextmanager
def _showing_progress(description: str) -> Iterator[Track]:
    """Yield the function that shows the progress of an iteration; elsewhere than in a terminal, it shows nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda samples, _: samples
        return
    with Progress(transient=True, console=console) as bar:
        yield lambda samples, count: bar.track(samples, count, description=description)


def adopt_shapes(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Give the empty buffers of components that are not fitted yet the shapes that they have in a checkpoint."""
    for name, buffer in _unfitted_buffers(module).items():
        if isinstance(value := weights.get(name), Tensor):
            _set_buffer(module, name, buffer.new_empty(value.shape))


def check_fitted(module: nn.Module, source: object) -> None:
    """Raise ConfigError if a component is not fitted.

    Args:
        module: a module with the weights of a file.
        source: the file.
    """
    if unfitted := _unfitted_buffers(module):
        first = next(iter(unfitted))
        raise ConfigError(
            f"{_config_path(first)} is fitted to the training set, and {source} does not contain it\n"
            "Use a checkpoint of a run of this config, or give the values in the yaml if the component takes them"
        )


def _finish_buffers(
    location: str, part: nn.Module, attributes: Mapping[str, list[object]], buffers: Mapping[str, Tensor]
) -> None:
    """Convert buffers to the dtypes that they had before `fit_to`.

    Args:
        location: the component, for messages.
        part: the component, fitted.
        attributes: the objects of its attributes before.
        buffers: its buffers before.

    Raises:
        ConfigError: a resumed run would not have what `fit_to` set.
    """
    for key, value in vars(part).items():
        if not key.startswith("_") and [*map(id, attributes.get(key, []))] != [*map(id, _objects(value))]:
            raise ConfigError(
                f"{location}: fit_to sets the attribute `{key}`, which a resumed run would not have\n"
                f"Make it a buffer: self.register_buffer('{key}', torch.empty(0)) in the constructor"
            )
    for key in _placeholders(part):
        raise ConfigError(f"{location}: fit_to left the buffer `{key}` empty")
    for key, after in list(part.named_buffers()):
        before = buffers.get(key, after)
        if before.numel() and before.shape != after.shape:
            shapes = " to ".join(describe_shapes({key: each}) for each in (before, after))
            raise ConfigError(
                f"{location}: fit_to changes {shapes}\nRegister a buffer of unknown shape as torch.empty(0)"
            )
        if before.numel() == 0 and after.isnan().any():
            raise ConfigError(f"{location}: fit_to sets the buffer `{key}` to NaN; the training set may contain NaN")
        _set_buffer(part, key, after.to(before.dtype))


def _objects(value: object) -> list[object]:
    """Return a value and, of a container, what it holds, so that a change in place is seen."""
    if isinstance(value, Mapping):
        return [value, *value, *value.values()]
    return [value, *value] if isinstance(value, list | set) else [value]


def _set_buffer(module: nn.Module, name: str, value: Tensor) -> None:
    owner, _, key = name.rpartition(".")
    setattr(module.get_submodule(owner), key, value)


def _fitted_parts(module: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a module that can be fitted: without state, there is nothing to fit."""
    parts = {name: part for name, part in module.named_modules() if callable(getattr(part, "fit_to", None))}
    return {name: part for name, part in parts.items() if part.state_dict()}


def _unfitted_buffers(module: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{key}".lstrip("."): buffer
        for name, part in _fitted_parts(module).items()
        for key, buffer in _placeholders(part).items()
    }


def _placeholders(part: nn.Module) -> dict[str, Tensor]:
    """Return the empty buffers of a component."""
    saved = part.state_dict()
    return {name: buffer for name, buffer in part.named_buffers() if buffer.numel() == 0 and name in saved}


def _config_path(name: str) -> str:
    for prefix, key in _PREFIXES.items():
        name = key + name.removeprefix(prefix) if name.startswith(prefix) else name
    return f"model.{name}".rstrip(".")


def _inputs_of(module: pl.LightningModule, part: nn.Module) -> Inputs | None:
    """Return which tensor an argument of a loss or metric gets, if their names differ."""
    terms = [*getattr(module, "loss_terms", {}).values(), *getattr(module, "metric_terms", {}).values()]
    return next((term.inputs for term in terms if term.component is part), None)


def _training_set(trainer: pl.Trainer, parts: Mapping[str, nn.Module]) -> Any:
    """Return the training set; all processes build it.

    Raises:
        ConfigError: there is none, or the first process would get only a share of it.
    """
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    paths = join_names(map(_config_path, parts))
    if not isinstance(data, DataModule):
        raise ConfigError(
            f"{paths}: fitting needs a data.train of the engine's DataModule, but data.type is {type(data).__name__}\n"
            "Derive it from DataModule, or give the values in the yaml if the component takes them"
        )
    dataset = data.training_set()
    is_shared = isinstance(dataset, IterableDataset) and getattr(dataset, "is_sharded", False)
    if is_shared and trainer.world_size > 1:
        raise ConfigError(
            f"{paths}: fitting needs all samples of data.train ({type(dataset).__name__}), which divides them among "
            f"{trainer.world_size} processes; give the dataset `__len__` and `__getitem__`, or use one process"
        )
    return dataset


class _Failure(NamedTuple):
    """What the first process sends instead of states.

    Args:
        signal: the signal that interrupted it; 0 if none did.
        is_mistake: whether it is a mistake of the user, which the first process reports.
        text: the error.
    """

    signal: int
    is_mistake: bool
    text: str

    def raise_here(self) -> NoReturn:
        """Raise the error in another process."""
        if self.signal:
            raise InterruptedStart(self.signal)
        raise (ConfigError if self.is_mistake else RunStopped)(f"the first process cannot fit: {self.text}")


@contextmanager
def _reporting_failure(group: ProcessGroup | None) -> Iterator[None]:
    """Tell the other processes, which wait for the states, if there will be none."""
    try:
        yield
    except BaseException as error:
        if group is not None:
            interrupted = find_cause(error, InterruptedStart)
            _broadcast(
                _Failure(interrupted.number if interrupted else 0, is_user_error(error), user_message(error)), group
            )
        raise


def _broadcast(value: Any, group: ProcessGroup) -> Any:
    """Return the value of the first process."""
    values = [value]
    torch.distributed.broadcast_object_list(values, src=0, group=group)
    return values[0]

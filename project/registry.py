"""The registries: which class stands behind a name in the yaml."""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import pytorch_lightning
import torch
import torchmetrics
from loguru import logger

from project.core.errors import ConfigError, did_you_mean, listing, normalize
from project.datasets.base import Dataset
from project.losses.base import Loss
from project.metrics.base import Metric
from project.models.base import Model
from project.transforms.base import Transform
from project.visuals.base import Visual

__all__ = ["Dataset", "Loss", "Metric", "Model", "Transform", "Visual"]  # the rooms' bases, for the engine
Class = TypeVar("Class", bound=type)


class Registry:
    """Maps names to classes of one kind.

    Args:
        kind: what an entry is called in messages ("loss").
        base: the class that annotates a slot of this kind.
        room: the package whose modules are scanned, relative to this one; none for kinds of Lightning's and torch's.
        foreign: modules whose classes can be named without being added; the first that has a name counts.
        family: what a foreign or registered class must derive from; `base` unless given.
        given: how many leading arguments of a constructor the engine gives (an optimizer's parameters).
    """

    by_base: ClassVar[dict[type, "Registry"]] = {}

    def __init__(
        self,
        kind: str,
        base: type,
        room: str | None = None,
        foreign: tuple[str, ...] = (),
        family: type | None = None,
        given: int = 0,
    ) -> None:
        self.kind, self.base, self.room, self.foreign = kind, base, room, foreign
        self.family, self.given = family or base, given
        self.broken: dict[str, str] = {}
        self._entries: dict[str, tuple[str, type | str]] = {}
        self._scanned = room is None
        Registry.by_base[base] = self

    @property
    def a_kind(self) -> str:
        """The kind with its article."""
        return f"an {self.kind}" if self.kind[0] in "aeiou" else f"a {self.kind}"

    def register(self, name: str | None = None) -> Callable[[Class], Class]:
        """Files a class under `name`, or under its own name."""

        def decorate(cls: Class) -> Class:
            self._adopt(cls, f"{cls.__module__}.{cls.__qualname__}")
            self._file(name or cls.__name__, cls)
            return cls

        return decorate

    def add(self, name: str, class_path: str) -> None:
        """Names a class of somebody else's; it is imported when it is used."""
        self._file(name, class_path)

    def names(self) -> list[str]:
        """The names of this room, sorted."""
        self._scan()
        return sorted(name for name, _ in self._entries.values())

    def find(self, name: str, where: str) -> type:
        """The class behind a name, a foreign class's name or a dotted path.

        Raises:
            ConfigError: nothing has that name; lists what has one, and the modules that could not be imported.
        """
        self._scan()
        if "." in name:
            return self._import(name, where)
        if normalize(name) in self._entries:
            entry = self._entries[normalize(name)][1]
            return self._import(entry, where) if isinstance(entry, str) else entry
        foreign = dict(self._foreign_classes())
        for candidate, cls in foreign.items():
            if normalize(candidate) == normalize(name):
                for module, why in self.broken.items():
                    logger.warning(f"{where} is {cls.__module__}.{candidate}; {module} was not imported: {why}")
                return self._adopt(cls, candidate)
        raise ConfigError(self._unknown(name, where, foreign))

    def short_name(self, class_path: str) -> str:
        """The shortest name that `find` turns into the class of `class_path`."""
        cls = self._import(class_path, class_path)
        names = [name for name, entry in self._entries.values() if entry in (cls, class_path)]
        for name in [*names, cls.__name__]:
            try:
                if self.find(name, "") is cls:
                    return name
            except ConfigError:
                continue
        return class_path

    def known(self) -> str:
        """What can be named, in one line."""
        if not self.names():
            return f"known: {listing(sorted(dict(self._foreign_classes())))}"
        packages = [name for name in self.foreign if name.rpartition(".")[0] not in self.foreign]
        also = f" (and the classes of {listing(packages)})" if packages else ""
        return f"known: {listing(self.names())}{also}"

    def _unknown(self, name: str, where: str, foreign: dict[str, type]) -> str:
        near = did_you_mean(name, [*self.names(), *foreign])
        lines = [f"{where}: no {self.kind} is called '{name}'{near}", self.known()]
        if self.broken:
            lines.append("not imported: " + "; ".join(f"{module}: {why}" for module, why in self.broken.items()))
        return "\n".join(lines)

    def _file(self, name: str, entry: type | str) -> None:
        def path(entry: type | str) -> str:
            return entry if isinstance(entry, str) else f"{entry.__module__}.{entry.__qualname__}"

        old_name, old = self._entries.get(normalize(name), (name, entry))
        if path(old) != path(entry):
            raise ConfigError(f"two {self.kind} classes are called '{old_name}': {path(old)} and {path(entry)}")
        self._entries[normalize(name)] = (name, entry)

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        package = importlib.import_module(f"{__package__}.{self.room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                importlib.import_module(module.name)
            except ConfigError:
                self._scanned = False
                raise
            except Exception as error:
                self.broken[module.name] = _one_line(error)

    def _foreign_classes(self) -> Iterator[tuple[str, type]]:
        for module in reversed(self.foreign):
            for name, value in vars(importlib.import_module(module)).items():
                own = isinstance(value, type) and value.__module__.startswith(module) and not name.startswith("_")
                if own and issubclass(value, self.family) and value is not self.family:
                    yield name, value

    def _import(self, class_path: str, where: str) -> type:
        module, _, name = class_path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:
            raise ConfigError(f"{where}: cannot import '{class_path}': {_one_line(error)}") from error
        return self._adopt(found, where)

    def _adopt(self, cls: Any, where: str) -> type:
        if not (isinstance(cls, type) and issubclass(cls, self.family)):
            expected = f"{self.family.__module__}.{self.family.__qualname__}"
            raise ConfigError(f"{where}: {cls!r} cannot be {self.a_kind}: it does not derive from {expected}")
        if not issubclass(cls, self.base):
            self.base.register(cls)  # type: ignore[attr-defined]  # every room's base is abstract
        return cls


def _one_line(error: BaseException) -> str:
    """The exception with the file and line it came from."""
    machinery = ("<frozen", importlib.__file__, __file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(machinery)]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {error}{place}".replace("\n", " ")


_METRICS = ("classification", "regression", "image", "segmentation", "detection", "audio", "text", "retrieval")
MODEL_REGISTRY = Registry("model", Model, "models", ("torch.nn",), torch.nn.Module)
LOSS_REGISTRY = Registry("loss", Loss, "losses", ("torch.nn.modules.loss",), torch.nn.Module)
METRIC_REGISTRY = Registry(
    "metric",
    Metric,
    "metrics",
    (*(f"torchmetrics.{part}" for part in _METRICS), "torchmetrics"),
    torchmetrics.Metric,
)
DATASET_REGISTRY = Registry("dataset", Dataset, "datasets", family=object)
TRANSFORM_REGISTRY = Registry("transform", Transform, "transforms", family=object)
VISUAL_REGISTRY = Registry("visual", Visual, "visuals", family=object)
MODULE_REGISTRY = Registry("module", pytorch_lightning.LightningModule, "modules")
DATAMODULE_REGISTRY = Registry("datamodule", pytorch_lightning.LightningDataModule, "modules")
MODULE_REGISTRY.add("SupervisedModule", f"{__package__}.core.module.SupervisedModule")
DATAMODULE_REGISTRY.add("DataModule", f"{__package__}.core.datamodule.DataModule")
# Somebody else's constructors ask for these: a net's `backbone: nn.Module`, a wrapper's `base_metric: Metric`.
Registry.by_base |= {torch.nn.Module: MODEL_REGISTRY, torchmetrics.Metric: METRIC_REGISTRY}

"""Registries: which class a name in the yaml means."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import ClassVar, NoReturn, TypeVar

import pytorch_lightning
import torch
import torchmetrics
from loguru import logger

from project.core.errors import ConfigError, did_you_mean, join_names, normalize
from project.core.functions import class_of, describe_return, function_of, import_path, returned_classes
from project.core.importing import describe_import_error, find_class
from project.datasets.base import Dataset
from project.losses.base import Loss
from project.metrics.base import Metric
from project.models.base import Model
from project.transforms.base import Transform
from project.visuals.base import Visual

# For annotations, and for mistakes that a component finds in its settings.
__all__ = ["ConfigError", "Dataset", "Loss", "Metric", "Model", "Transform", "Visual", "did_you_mean", "join_names"]
Component = TypeVar("Component", bound=Callable[..., object])


class Registry:
    """Mapping from names to classes of one kind.

    Names match regardless of case and underscores. The modules of `package` are imported at the first lookup; the
    components in them register themselves. A function that returns an object of this kind can be registered as well.

    Args:
        kind: the word for a class of this kind in messages ("loss").
        base: the class that annotates config entries of this kind.
        package: subpackage of this package whose modules are imported to find components; None if there is none.
        external_modules: modules whose classes can be named without registration; the first one that has a name wins.
        required_base: the class that registered and external classes must derive from; None means `base`.
        required_methods: a class with one of these methods need not derive from `required_base`.
        num_engine_args: number of leading constructor arguments that the engine passes (an optimizer's parameters: 1).

    Example::

        @LOSS_REGISTRY.register()
        class Entropy(Loss): ...

        LOSS_REGISTRY.resolve("entropy", "model.loss.entropy")  # Entropy
        LOSS_REGISTRY.resolve("HuberLoss", "model.loss.huber")  # torch.nn.HuberLoss
    """

    by_base: ClassVar[dict[type, "Registry"]] = {}

    def __init__(
        self,
        kind: str,
        base: type,
        package: str | None = None,
        external_modules: tuple[str, ...] = (),
        required_base: type | None = None,
        required_methods: tuple[str, ...] = (),
        num_engine_args: int = 0,
    ) -> None:
        self.kind, self.base, self.package, self.external_modules = kind, base, package, external_modules
        self.required_base, self.required_methods = required_base or base, required_methods
        self.num_engine_args = num_engine_args
        self.import_errors: dict[str, str] = {}  # by module
        self._entries: dict[str, tuple[str, type | str]] = {}
        self._scanned = package is None
        Registry.by_base[base] = self

    @property
    def a_kind(self) -> str:
        """The kind with its indefinite article, for messages."""
        return f"an {self.kind}" if self.kind[0] in "aeiou" else f"a {self.kind}"

    def register(self, name: str | None = None) -> Callable[[Component], Component]:
        """Return a decorator that registers a class or function under `name`, by default its own."""

        def decorate(component: Component) -> Component:
            cls = self._check_class(component, f"{component.__module__}.{component.__qualname__}")
            self._add_entry(name or cls.__name__, cls)
            return component

        return decorate

    def add(self, name: str, class_path: str) -> None:
        """Register an external class by its dotted path; it is imported when it is first used."""
        self._add_entry(name, class_path)

    def names(self) -> list[str]:
        """Return the registered names, sorted."""
        self._scan()
        return sorted(name for name, _ in self._entries.values())

    def resolve(self, name: str, where: str) -> type:
        """Return the class that a registered name, an external class's name or a dotted path means.

        Args:
            name: the name or dotted path.
            where: config path of the entry, for messages.

        Raises:
            ConfigError: no class has that name, or it cannot be imported or is not of this kind.
        """
        self._scan()
        if "." in name:
            return self._import(name, where)
        if normalize(name) in self._entries:
            entry = self._entries[normalize(name)][1]
            return self._import(entry, where) if isinstance(entry, str) else entry
        external = self.external_classes()
        for candidate, cls in external.items():
            if normalize(candidate) == normalize(name):
                for module, why in self.import_errors.items():
                    logger.warning(f"{where} is {cls.__module__}.{candidate}; {module} was not imported: {why}")
                return self._check_class(cls, candidate)
        unexported = self._find_unexported(name)
        return unexported or self._raise_unknown(name, where, external)

    def external_classes(self) -> dict[str, type]:
        """Return the classes that can be named without registration, by name."""
        found = {}
        for module in reversed(self.external_modules):
            for name, value in vars(importlib.import_module(module)).items():
                own = isinstance(value, type) and value.__module__.startswith(module) and not name.startswith("_")
                if own and issubclass(value, self.required_base) and value is not self.required_base:
                    found[name] = value
        return found

    def short_name(self, class_path: str) -> str:
        """Return the shortest name that means the class at `class_path` in every process."""
        cls = self._import(class_path, class_path)
        for name, entry in self._entries.values():
            if entry == class_path or (entry is cls and self._scans(cls)):
                return name
        if function := function_of(cls):
            return import_path(function)
        is_external = normalize(cls.__name__) not in self._entries
        return cls.__name__ if is_external and self.external_classes().get(cls.__name__) is cls else import_path(cls)

    def _scans(self, cls: type) -> bool:
        """Return whether the scan finds a registered class; a module outside the package may have registered it."""
        return (function_of(cls) or cls).__module__.startswith(f"{__package__}.{self.package}.")

    def describe_known(self) -> str:
        """Return one line that lists the known names, and says that a dotted path is one too."""
        path = ", or the dotted path of your own, such as my_package.my_module.MyClass"
        if not self.names():
            return f"known: {join_names(sorted(self.external_classes()))}{path}"
        packages = [name for name in self.external_modules if name.rpartition(".")[0] not in self.external_modules]
        also = f" (and the classes of {join_names(packages)})" if packages else ""
        return f"known: {join_names(self.names())}{also}{path}"

    def _find_unexported(self, name: str) -> type | None:
        """Return the external class of a name that its package does not export because another package is missing."""
        for external in self.external_modules:
            package = importlib.import_module(external)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{external}."):
                if class_name := find_class(module.name, name):
                    found: type = getattr(importlib.import_module(module.name), class_name)
                    if issubclass(found, self.required_base):
                        return found
        return None

    def _raise_unknown(self, name: str, where: str, external: dict[str, type]) -> NoReturn:
        for module, why in self.import_errors.items():
            if class_name := find_class(module, name):
                raise ConfigError(f"{where}: {class_name} cannot be used, because {module} was not imported: {why}")
        near = did_you_mean(name, [*self.names(), *external])
        lines = [f"{where}: no {self.kind} is called '{name}'{near}", self.describe_known()]
        if self.import_errors:
            lines.append("not imported: " + "; ".join(f"{module}: {why}" for module, why in self.import_errors.items()))
        raise ConfigError("\n".join(lines))

    def _add_entry(self, name: str, entry: type | str) -> None:
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
        package = importlib.import_module(f"{__package__}.{self.package}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                importlib.import_module(module.name)
            except ConfigError:
                self._scanned = False
                raise
            except Exception as error:
                self.import_errors[module.name] = describe_import_error(error, __file__)

    def _import(self, class_path: str, where: str) -> type:
        module, _, name = class_path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except Exception as error:
            raise ConfigError(
                f"{where}: cannot import '{class_path}': {describe_import_error(error, __file__, module)}"
            ) from error
        return self._check_class(found, where)

    def _check_class(self, found: object, where: str) -> type:
        """Return a class of this kind, or the class of a function that returns one."""
        returned = returned_classes(found) if inspect.isroutine(found) else [found]
        fitting = next((each for each in returned if isinstance(each, type) and self._fits(each)), None)
        if fitting is None:
            expected = f"derive from {self.required_base.__module__}.{self.required_base.__qualname__}"
            also = f" or have {join_names(self.required_methods)}" if self.required_methods else ""
            shown, problem = repr(found), f"it does not {expected}{also}"
            if inspect.isroutine(found):
                shown = f"the function {found.__name__}"
                problem = f"{describe_return(found)}\nIts return annotation must {expected}{also}"
            raise ConfigError(f"{where}: {shown} cannot be {self.a_kind}: {problem}")
        cls = class_of(found, fitting) if inspect.isroutine(found) else fitting
        if not issubclass(cls, self.base):
            self.base.register(cls)  # type: ignore[attr-defined]  # base is an ABC if required_base differs
        return cls

    def _fits(self, cls: type) -> bool:
        # Looked up in the classes: each class can be called, so each has an attribute `__call__`.
        methods = {name for owner in cls.__mro__ for name in vars(owner)}
        return bool(methods & {*self.required_methods}) or issubclass(cls, self.required_base)


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
DATASET_REGISTRY = Registry(
    "dataset",
    Dataset,
    "datasets",
    required_base=torch.utils.data.Dataset,
    required_methods=("__getitem__", "__iter__"),
)
TRANSFORM_REGISTRY = Registry("transform", Transform, "transforms", required_methods=("__call__",))
VISUAL_REGISTRY = Registry("visual", Visual, "visuals", required_methods=("__call__",))
MODULE_REGISTRY = Registry("module", pytorch_lightning.LightningModule, "modules")
DATAMODULE_REGISTRY = Registry("datamodule", pytorch_lightning.LightningDataModule, "modules")
CALLBACK_REGISTRY = Registry("callback", pytorch_lightning.Callback, "callbacks", ("pytorch_lightning.callbacks",))
OPTIMIZER_REGISTRY = Registry("optimizer", torch.optim.Optimizer, None, ("torch.optim",), num_engine_args=1)
SCHEDULER_REGISTRY = Registry(
    "scheduler",
    torch.optim.lr_scheduler.LRScheduler,
    external_modules=("torch.optim.lr_scheduler",),
    num_engine_args=1,
)
LOGGER_REGISTRY = Registry("logger", pytorch_lightning.loggers.Logger, None, ("pytorch_lightning.loggers",))
for _kind, _base in (
    ("profiler", pytorch_lightning.profilers.Profiler),
    ("strategy", pytorch_lightning.strategies.Strategy),
):
    Registry(_kind, _base, external_modules=(_base.__module__.rpartition(".")[0],))
# The engine's own classes.
MODULE_REGISTRY.add("SupervisedModule", f"{__package__}.core.model.module.SupervisedModule")
DATAMODULE_REGISTRY.add("DataModule", f"{__package__}.core.data.datamodule.DataModule")
SCHEDULER_REGISTRY.add("WarmupCosine", f"{__package__}.core.model.schedulers.WarmupCosine")
SCHEDULER_REGISTRY.add("Poly", f"{__package__}.core.model.schedulers.Poly")
SCHEDULER_REGISTRY.add("Warmup", f"{__package__}.core.model.schedulers.Warmup")
SCHEDULER_REGISTRY.add("SequentialLR", f"{__package__}.core.model.schedulers.SequentialLR")
SCHEDULER_REGISTRY.add("ChainedScheduler", f"{__package__}.core.model.schedulers.ChainedScheduler")
SCHEDULER_REGISTRY.add("ReduceLROnPlateau", "pytorch_lightning.cli.ReduceLROnPlateau")
LOGGER_REGISTRY.add("CSVLogger", f"{__package__}.core.csv_logger.CSVLogger")
LOGGER_REGISTRY.add("TensorBoardLogger", f"{__package__}.core.tensorboard.DedupTensorBoardLogger")
CALLBACK_REGISTRY.add("GradientMonitor", f"{__package__}.core.training.debugging.GradientMonitor")
CALLBACK_REGISTRY.add("NonFiniteStop", f"{__package__}.core.training.debugging.NonFiniteStop")
CALLBACK_REGISTRY.add("StopAtSpike", f"{__package__}.core.training.spikes.StopAtSpike")
# Annotations of external constructors: a net's `backbone: nn.Module`, a wrapper's `base_metric: Metric`.
Registry.by_base |= {torch.nn.Module: MODEL_REGISTRY, torchmetrics.Metric: METRIC_REGISTRY}

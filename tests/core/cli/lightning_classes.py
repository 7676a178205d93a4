"""Each class and name of Lightning that a yaml can give to the trainer: arguments with which it works, or its refusal.

`test_lightning_classes.py` compares these tables with what the installed Lightning exports, so a class that a newer
version adds must be classified here.
"""

from collections.abc import Set
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import lightning_fabric.plugins.environments as environments
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import AcceleratorRegistry
from pytorch_lightning.strategies import StrategyRegistry
from torch import Tensor

from project.core.config.annotations import parameters_of, union_members

HERE = __name__
Table = dict[str, dict[str, Any] | str]  # arguments, or what the message begins with
BASE = "{} is {}, a base class that does nothing by itself; name a subclass of it"
ABSTRACT = "{}: {} cannot be built: it does not define "
SPLIT, TPU = "models split over devices are not supported, use ddp", "TPUs are not supported"
FORKS = "trainer.strategy starts processes by fork or spawn, which is not supported; use ddp"
MISSING = "pip install"  # anywhere in the message
# By the start of a name: the package that it needs.
PACKAGES = {
    "Bitsandbytes": "bitsandbytes",
    "Comet": "comet_ml",
    "MLFlow": "mlflow",
    "MPI": "mpi4py",
    "Transformer": "transformer_engine",
    "Wandb": "wandb",
    "transformer": "transformer_engine",
}

CALLBACKS: Table = {
    "DeviceStatsMonitor": {"cpu_stats": False},
    "EMAWeightAveraging": {"decay": 0.5},
    "EarlyStopping": {"monitor": "val/sum", "patience": 5},
    "GradientAccumulationScheduler": {"scheduling": {0: 1}},
    "LambdaCallback": {"on_train_end": f"{HERE}.note"},
    "LearningRateMonitor": {},
    "ModelCheckpoint": {"save_last": True, "monitor": "val/sum"},
    "ModelSummary": {},
    "RichModelSummary": {},
    "RichProgressBar": {},
    "SpikeDetection": {"rtol": 50.0},
    "TQDMProgressBar": {},
    "ThroughputMonitor": {"batch_size_fn": f"{HERE}.count", "window_size": 2},
    "Timer": {},
    "WeightAveraging": {},
    "BackboneFinetuning": "trainer.callbacks.0 is BackboneFinetuning; a resumed run would not train the backbone",
    "BatchSizeFinder": "trainer.callbacks.0 is BatchSizeFinder; config.yaml would not contain the size that it finds",
    "LearningRateFinder": "trainer.callbacks.0 is LearningRateFinder; config.yaml would not contain the rate that it",
    "ModelPruning": "trainer.callbacks.0 is ModelPruning; checkpoints contain neither its masks nor its last pruning",
    "OnExceptionCheckpoint": "trainer.callbacks.0 is OnExceptionCheckpoint; a new run would start from the file of an",
    "StochasticWeightAveraging": "trainer.callbacks.0 is StochasticWeightAveraging; no checkpoint would contain the av",
    **{
        name: BASE.format("trainer.callbacks.0", name)
        for name in ("BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint", "ProgressBar")
    },
}
# What a class that is refused needs, so that it is not refused for a missing argument.
REQUIRED: dict[str, dict[str, Any]] = {
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "crash"},
    "StochasticWeightAveraging": {"swa_lrs": 0.1},
    "BasePredictionWriter": {"write_interval": "batch"},
    "SingleDeviceXLAStrategy": {"device": 0},
    "BitsandbytesPrecision": {"mode": "nf4"},
    "DeepSpeedPrecision": {"precision": "bf16-mixed"},
    "FSDPPrecision": {"precision": "bf16-mixed"},
    "TransformerEnginePrecision": {"weights_dtype": "torch.float32"},
}
LOGGERS: Table = {
    "CSVLogger": {},
    "TensorBoardLogger": {},
    "CometLogger": MISSING,
    "LitLogger": "trainer.logger.0: ",  # it does not derive from Logger
    "MLFlowLogger": MISSING,
    "WandbLogger": MISSING,
    "Logger": ABSTRACT.format("trainer.logger.0", "Logger"),
}
PROFILERS: Table = {
    "AdvancedProfiler": {},
    "PassThroughProfiler": {},
    "PyTorchProfiler": {},
    "SimpleProfiler": {"filename": "times"},
    "XLAProfiler": f"trainer.profiler is XLAProfiler; {TPU}",
    "Profiler": ABSTRACT.format("trainer.profiler", "Profiler"),
}
STRATEGIES: Table = {
    "DDPStrategy": {"find_unused_parameters": True},
    "SingleDeviceStrategy": {},
    **{name: f"trainer.strategy is {name}; {SPLIT}" for name in ("DeepSpeedStrategy", "FSDPStrategy")},
    "ModelParallelStrategy": f"trainer.strategy is ModelParallelStrategy; {SPLIT}",
    **{name: f"trainer.strategy is {name}; {TPU}" for name in ("SingleDeviceXLAStrategy", "XLAStrategy")},
    **{name: ABSTRACT.format("trainer.strategy", name) for name in ("ParallelStrategy", "Strategy")},
}
PLUGINS: Table = {
    "AsyncCheckpointIO": "trainer.plugins has an AsyncCheckpointIO; leave it out: a run's own writer is asynchronous",
    "DoublePrecision": {},
    "HalfPrecision": {"precision": "bf16-true"},
    "MixedPrecision": {"precision": "bf16-mixed", "device": "cpu"},
    "Precision": {},
    "TorchCheckpointIO": {},
    "TorchSyncBatchNorm": {},
    **{name: f"trainer.plugins.0 is {name}; {SPLIT}" for name in ("DeepSpeedPrecision", "FSDPPrecision")},
    **{name: f"trainer.plugins.0 is {name}; {TPU}" for name in ("XLACheckpointIO", "XLAPrecision")},
    **dict.fromkeys(("BitsandbytesPrecision", "TransformerEnginePrecision"), MISSING),
    **dict.fromkeys(("CheckpointIO", "LayerSync"), "trainer.plugins is [{'class_path': "),  # they are abstract
}
ENVIRONMENTS: Table = {
    "KubeflowEnvironment": {},
    "LightningEnvironment": {},
    "SLURMEnvironment": {},
    "TorchElasticEnvironment": {},
    "LSFEnvironment": "LSFEnvironment: Did not find the environment variable",
    "MPIEnvironment": MISSING,
    "XLAEnvironment": f"trainer.plugins.0 is XLAEnvironment; {TPU}",
    "ClusterEnvironment": "trainer.plugins is [{'class_path': ",
}


_DDP_ENDS = ("", "_find_unused_parameters_false", "_find_unused_parameters_true")
_STAGES = ("", *(f"_stage_{stage}" for stage in ("1", "2", "2_offload", "3", "3_offload", "3_offload_nvme")))
STRATEGY_NAMES: Table = {
    **{name: {} for name in ("auto", "single_device", *(f"ddp{end}" for end in _DDP_ENDS))},
    **{f"ddp_{method}{end}": FORKS for method in ("spawn", "fork", "notebook") for end in _DDP_ENDS},
    **{
        name: f"trainer.strategy is {name}; {SPLIT}"
        for name in ("fsdp", "fsdp_cpu_offload", *(f"deepspeed{stage}" for stage in _STAGES))
    },
    **{name: f"trainer.strategy is {name}; {TPU}" for name in ("single_tpu", "single_xla", "xla", "xla_debug")},
}
PROFILER_NAMES: Table = {"advanced": {}, "pytorch": {}, "simple": {}, "xla": f"trainer.profiler is xla; {TPU}"}
ACCELERATORS: Table = {
    **{name: {} for name in ("auto", "cpu")},
    **dict.fromkeys(("cuda", "gpu", "mps"), "trainer: "),  # on a machine without one
    "tpu": f"trainer.accelerator is tpu; {TPU}",
}
PRECISIONS: Table = {
    **{str(value): {} for value in (64, 32, 16, "bf16")},
    **{f"{bits}-{how}": {} for bits in ("16", "bf16") for how in ("true", "mixed")},
    **{name: {} for name in ("32-true", "64-true")},
    **dict.fromkeys(("transformer-engine", "transformer-engine-float16"), MISSING),
}


def entry(package: Any, name: str, arguments: dict[str, Any] | str) -> dict[str, Any]:
    """Return the config entry of a class in jsonargparse's form, which every argument of the trainer accepts."""
    given = REQUIRED.get(name, {}) if isinstance(arguments, str) else arguments
    is_own = name == "CSVLogger"  # the engine's, which a resumed run can continue
    return {"class_path": name if is_own else f"{package.__name__}.{name}", "init_args": given}


@dataclass(frozen=True)
class Kind:
    """A kind of what the trainer takes: its table, what Lightning exports, and the argument that a name is given to.

    Args:
        table: arguments or refusal, by name.
        exported: the names that Lightning exports.
        argument: argument of the trainer.
        package: package of the classes; None if the names themselves are the values.
        is_list: whether the argument takes several.
    """

    table: Table
    exported: Set[str]
    argument: str
    package: ModuleType | None = None
    is_list: bool = False

    def over(self, name: str) -> dict[str, Any]:
        """Return the yaml that gives a class or name to the trainer."""
        value: Any = name if self.package is None else entry(self.package, name, self.table[name])
        return {"trainer": {self.argument: [value] if self.is_list else value}}


def exported_classes(base: type, package: ModuleType) -> Set[str]:
    """Return the classes of a kind that a package of Lightning exports, with those that its `__all__` leaves out."""
    own = {
        name
        for name, value in vars(package).items()
        if isinstance(value, type) and issubclass(value, base) and value.__module__.startswith(package.__name__)
    }
    return {*package.__all__} | {name for name in own if not name.startswith("_")}


PRECISION_NAMES = {
    str(value)
    for member in union_members(parameters_of(pl.Trainer)["precision"].annotation)
    for value in get_args(member)
}
KINDS = {
    "callback": Kind(CALLBACKS, exported_classes(pl.Callback, pl.callbacks), "callbacks", pl.callbacks, True),
    "logger": Kind(LOGGERS, exported_classes(pl.loggers.Logger, pl.loggers), "logger", pl.loggers, True),
    "profiler": Kind(PROFILERS, exported_classes(pl.profilers.Profiler, pl.profilers), "profiler", pl.profilers),
    "strategy": Kind(STRATEGIES, exported_classes(pl.strategies.Strategy, pl.strategies), "strategy", pl.strategies),
    "plugin": Kind(PLUGINS, {*pl.plugins.__all__}, "plugins", pl.plugins, True),
    "environment": Kind(
        ENVIRONMENTS,
        {name for name in vars(environments) if name.endswith("Environment")},
        "plugins",
        environments,
        True,
    ),
    "profiler name": Kind(PROFILER_NAMES, {*PROFILER_NAMES}, "profiler"),
    "strategy name": Kind(STRATEGY_NAMES, {"auto", *StrategyRegistry}, "strategy"),
    "accelerator": Kind(ACCELERATORS, {"auto", "gpu", *AcceleratorRegistry}, "accelerator"),
    "precision": Kind(PRECISIONS, PRECISION_NAMES, "precision"),
}
CASES = [(kind, name) for kind, each in KINDS.items() for name in each.table]
WORKING = [(kind, name) for kind, name in CASES if not isinstance(KINDS[kind].table[name], str)]
REFUSED = [case for case in CASES if case not in WORKING]


def is_installed(kind: str, name: str) -> bool:
    """Return whether this machine has what a class or name is refused without."""
    if kind == "accelerator" and name != "tpu":
        return torch.accelerator.is_available()
    package = next((package for start, package in PACKAGES.items() if name.startswith(start)), None)
    return package is not None and find_spec(package) is not None


def note(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Write a file, as a LambdaCallback."""
    (Path(trainer.default_root_dir) / "note.txt").write_text(str(trainer.global_step))


def count(batch: dict[str, Tensor]) -> int:
    """Return the number of samples in a batch, for ThroughputMonitor."""
    return len(batch["image"])

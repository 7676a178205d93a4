"""Base classes of LightningModules and LightningDataModules, and what they share with the engine."""

from project.core.config.pretrained import Pretrained
from project.core.data.datamodule import DataModule
from project.core.model.ema import Decay
from project.core.model.module import BaseModule, SupervisedModule
from project.core.model.optimization import Clip, build_optimizer
from project.core.model.wiring import NamedCall

__all__ = [
    "BaseModule",
    "Clip",
    "DataModule",
    "Decay",
    "NamedCall",
    "Pretrained",
    "SupervisedModule",
    "build_optimizer",
]

"""What all runs of a worker do at their start, done once before they are forked."""

from contextlib import ExitStack
from importlib import import_module

from PIL import Image

from project.core.cli.arguments import Arguments
from project.core.cli.stages import StageCLI
from project.core.config.configuration import build_config
from project.core.config.yaml_files import Tree, merge_all, nest
from project.core.distributed.signals import Interruption
from project.core.errors import ConfigError
from project.registry import Dataset

_INTERNALS = f"{__name__.partition('.')[0]}.core.training.lightning_internals"
# Imported by a run when it needs them.
_MODULES = ("torch.utils.tensorboard", "tensorboard.plugins.hparams.api_pb2", "torch.utils.serialization.config")
_OWN_MODULES = (f"{_INTERNALS}.loops", f"{_INTERNALS}.fast_steps", f"{_INTERNALS}.fetching")


class _NeedsData(Exception):
    """The configuration depends on the training set, which may start threads: only the runs build it."""


def warm_up(experiment: Tree) -> None:
    """Import what the runs will need, and parse the configuration of one: the parsers are forked with the process.

    Args:
        experiment: the merged tree of the experiment.
    """
    for name in (*_MODULES, *_OWN_MODULES):
        import_module(name)
    Image.init()
    try:
        config = build_config(merge_all([experiment, nest("name", "warm_up")]), _refuse)
        for stage in ("fit", "test"):
            with ExitStack() as stack:
                StageCLI(Arguments(stage, print_config=True), config, None, Interruption(), stack)
    except (_NeedsData, ConfigError):
        return  # a mistake in the configuration is reported by the runs that have it


def _refuse(tree: Tree) -> Dataset:
    raise _NeedsData

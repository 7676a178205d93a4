"""A trained module from a checkpoint alone."""

import sys
from pathlib import Path

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.cli import LightningArgumentParser

from project.core.checkpoint import find_checkpoint, load_weights, read_checkpoint
from project.core.config import build_config
from project.core.yaml_files import parse_yaml


def load_module(run: Path) -> pl.LightningModule:
    """Builds the module that a checkpoint's config describes, and loads its weights; in evaluation mode."""
    path = find_checkpoint(run)
    checkpoint = read_checkpoint(path)
    config = build_config(parse_yaml(checkpoint["run_config"], f"the config in {path}"))
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(config.model_class, "model")
    namespace = config.parse(parser, {"model": config.values["model"]})
    module: pl.LightningModule = parser.instantiate(namespace).model
    load_weights(module, checkpoint, path)
    _warn_of_foreign_operations()
    return module.eval()


def _warn_of_foreign_operations() -> None:
    """Each project has an `ops`: of several that are installed, the first on Python's path is taken."""
    package, ops = __name__.partition(".")[0], sys.modules.get("ops")
    namespace = getattr(getattr(ops, "_build", None), "NAMESPACE", f"{package}_ops")
    if namespace != f"{package}_ops":
        logger.warning(f"`ops` is that of another project ({namespace}): start Python in the folder of {package}")

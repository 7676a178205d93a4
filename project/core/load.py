"""A trained module from a checkpoint alone."""

from pathlib import Path

import pytorch_lightning as pl
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
    return module.eval()

"""The configuration with which a run is trained again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from project.core.config.reference_texts import unescape
from project.core.config.references import ReferenceResolver
from project.core.config.trust import RunText, mark_saved, texts_in
from project.core.config.yaml_files import Tree, merge_all, parse_yaml
from project.core.errors import ConfigError

# What neither changes a number nor has to end a replay.
_QUIET: dict[str, Any] = {
    "profiler": None,
    "max_time": None,
    "default_root_dir": None,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
_GPUS = ("gpu", "cuda")


def replay_tree(text: str, where: str, root: Path, changes: Sequence[Tree], trust: bool) -> Tree:
    """Return the configuration of a run, changed so that a training has no effect outside a directory.

    Args:
        text: the configuration of the run, as yaml.
        where: its file.
        root: the directory.
        changes: values that replace those of the run.
        trust: whether the configuration may name any class.

    Raises:
        ConfigError: it is damaged, was not trained, or asks for a GPU that this machine does not have.
    """
    saved = unescape(parse_yaml(text, where))
    if not isinstance(saved, dict) or not all(isinstance(saved.get(name), dict) for name in ("model", "trainer")):
        raise ConfigError(f"{where} is damaged: it is not the configuration of a run")
    if not trust:
        resolved = ReferenceResolver(merge_all(changes)).resolve_known(merge_all(changes))
        saved = mark_saved(saved, set[str]().union(*map(texts_in, [*changes, resolved])), RunText)
    tree = merge_all([saved, *changes])
    trainer = dict(tree.get("trainer") or {})
    if trainer.get("fast_dev_run"):
        raise ConfigError(f"{where} has trainer.fast_dev_run, which only tries the code; there is nothing to replay")
    if trainer.get("accelerator") in _GPUS and not torch.cuda.is_available():
        raise ConfigError(
            "the run was trained on a GPU, which this machine does not have; add --trainer.accelerator cpu, with which "
            "values differ by rounding"
        )
    tree["trainer"] = trainer | _QUIET | {"logger": False if trainer.get("logger") is False else None}
    return tree | {"root": str(root), "name": "replay", "replace": False}

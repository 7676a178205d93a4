"""Starting from weights of a file or of another run: `model.pretrained` and `--finetune`."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from loguru import logger
from torch import nn

from project.core.config.pretrained import Pretrained
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import find_checkpoint, safe_load
from project.core.run.weights import (
    Match,
    check_patterns,
    describe_first,
    describe_shape,
    match_weights,
    named_weights,
    rename_keys,
)


def with_checksum(settings: Pretrained, where: str) -> Pretrained:
    """Return settings with the checksum of their file.

    Args:
        settings: the settings.
        where: config path or option, for messages.

    Raises:
        ConfigError: there is no such file, or it has another checksum than the settings.
    """
    if not settings.path:
        raise ConfigError(f"{where}.path is empty; it takes a file of weights or a run directory")
    try:
        file = find_checkpoint(Path(settings.path))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    try:
        with file.open("rb") as opened:
            checksum = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"checkpoint {file} cannot be read: {error.strerror}") from error
    if settings.sha256 not in (None, checksum):
        raise ConfigError(
            f"{where}: the sha256 of {file} is {checksum}, not {settings.sha256}: it is another file than before\n"
            f"To use it, set {where}.sha256: null"
        )
    return replace(settings, sha256=checksum)


def finetune_options(settings: Pretrained | None) -> list[str]:
    """Return the options of the command line that give settings to `--finetune`."""
    if settings is None:
        return []
    given = {key: value for key, value in asdict(settings).items() if value not in (None, False) and key != "path"}
    options = [word for key, value in given.items() for word in (f"--finetune.{key}", json.dumps(value))]
    return ["--finetune", str(Path(settings.path).absolute()), *options]


def load_pretrained(module: nn.Module, settings: Pretrained, where: str) -> frozenset[str]:
    """Load weights of a file; what `skip` leaves out, or `strict: false` does not find, keeps its initial values.

    Args:
        module: the LightningModule.
        settings: the file, and which of its tensors are loaded.
        where: config path or option, for messages.

    Returns:
        The names of the tensors that were loaded.

    Raises:
        ConfigError: the file cannot be read, or does not fit.
    """
    file, skip = find_checkpoint(Path(settings.path)), settings.skip or []
    weights = rename_keys(named_weights(file, safe_load(file)), settings.rename or {}, where)
    check_patterns(skip, weights, module, where)
    match = match_weights(weights, module, skip)
    if settings.strict and (problem := match.describe_problem()):
        raise ConfigError(f"{where}: {file} does not fit this model\n{problem}\n{match.describe_remedy(where)}")
    if not match.loaded:
        raise ConfigError(
            f"{where}: none of the {len(weights)} tensors of {file} has a name and shape of this model\n"
            f"in the file: {describe_first(weights)}\nin the model: {describe_first(match.own)}"
        )
    module.load_state_dict(match.loaded, strict=False)
    _log(match, len(weights), file)
    return frozenset(match.loaded)


def _log(match: Match, count: int, file: Path) -> None:
    loaded = f"loaded {len(match.loaded)} of the model's {len(match.own)} tensors from {file}, which contains {count}"
    not_used, not_loaded = (
        match.misshapen | match.unused,
        match.missing | {name: match.own[name] for name in match.misshapen},
    )
    if 2 * len(match.loaded) < len(match.own):
        logger.warning(f"{loaded}; not used: {describe_first(not_used)}; not loaded: {describe_first(not_loaded)}")
    else:
        logger.info(loaded)
    for name, item in not_loaded.items():
        logger.debug(f"not loaded: {name} {describe_shape(item)}")
    for name, item in not_used.items():
        logger.debug(f"not used: {name} {describe_shape(item)}")

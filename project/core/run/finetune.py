"""Starting from the weights of another run (`--finetune`)."""

from collections.abc import Mapping
from pathlib import Path

from loguru import logger
from torch import Tensor, nn

from project.core.errors import ConfigError, join_names
from project.core.model.fitting import adopt_shapes
from project.core.run.bare_weights import rename_like, weights_in
from project.core.run.checkpoint_files import find_checkpoint, safe_load


def load_matching(module: nn.Module, path: Path) -> frozenset[str]:
    """Load the tensors of a file whose names and shapes match the module's; the others keep their initial values.

    Args:
        module: the LightningModule.
        path: a checkpoint, a run directory, or a file with tensors by name, such as the state_dict of a net.

    Returns:
        The names of the tensors that were loaded.

    Raises:
        ConfigError: the file cannot be read, or no tensor matches.
    """
    file = find_checkpoint(path)
    weights = weights_in(safe_load(file))
    given = rename_like(weights, module.state_dict())
    adopt_shapes(module, given)
    own = module.state_dict()
    matching = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    in_file = _describe_first(
        weights if not matching else {name: given[name] for name in given if name not in matching}
    )
    in_model = _describe_first({name: value for name, value in own.items() if name not in matching})
    if not matching:
        raise ConfigError(
            f"--finetune {path}: none of its {len(given)} tensors has a name and shape of this model\n"
            f"in the file: {in_file}\nin the model: {in_model}"
        )
    module.load_state_dict(matching, strict=False)
    loaded = f"loaded {len(matching)} of the model's {len(own)} tensors from {file}, which contains {len(given)}"
    if 2 * len(matching) < len(own):
        logger.warning(f"{loaded}; not used: {in_file}; not loaded: {in_model}")
    else:
        logger.info(loaded)
    for name in own.keys() - matching.keys():
        logger.debug(f"not loaded: {name} {tuple(own[name].shape)}")
    for name in given.keys() - matching.keys():
        logger.debug(f"not used: {name} {tuple(given[name].shape)}")
    return frozenset(matching)


def _describe_first(weights: Mapping[str, Tensor], count: int = 3) -> str:
    """Return the names and shapes of the first tensors."""
    shown = [f"{name} {tuple(value.shape)}" for name, value in list(weights.items())[:count]]
    return join_names(shown) + (", ..." if len(weights) > count else "")

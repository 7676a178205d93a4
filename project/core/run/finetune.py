"""Starting from the weights of another run (`--finetune`)."""

from pathlib import Path

from loguru import logger
from torch import Tensor, nn

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import find_checkpoint, safe_load


def load_matching(module: nn.Module, path: Path) -> None:
    """Load the tensors of a file whose names and shapes match the module's; the others keep their initial values.

    Args:
        module: the LightningModule.
        path: a checkpoint, a run directory, or a file with tensors by name, such as the state_dict of a net.

    Raises:
        ConfigError: the file cannot be read, or no tensor matches.
    """
    file = find_checkpoint(path)
    content = safe_load(file)
    content = content if isinstance(content, dict) else {}
    weights = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
    given = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    own = module.state_dict()
    if not given.keys() & own.keys():  # the weights of a net, without the module around it
        given = {f"net.{name}": value for name, value in given.items()}
    matching = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    if not matching:
        raise ConfigError(f"--finetune {path}: none of its {len(given)} tensors has a name and shape of this model")
    module.load_state_dict(matching, strict=False)
    logger.info(f"loaded {len(matching)} of the model's {len(own)} tensors from {file}, which contains {len(given)}")
    for name in own.keys() - matching.keys():
        logger.debug(f"not loaded: {name} {tuple(own[name].shape)}")
    for name in given.keys() - matching.keys():
        logger.debug(f"not used: {name} {tuple(given[name].shape)}")

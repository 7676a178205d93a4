"""Weights without a configuration, such as the state_dict of a net that another program saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from project.core.errors import ConfigError
from project.core.model.fitting import adopt_shapes
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.checkpoint_header import CONFIG

_NET = "net."


@dataclass
class BareWeights(LoadedCheckpoint):
    """Weights of a net or of a module, loaded to the CPU, for a configuration of the user."""

    def load_weights(self, module: nn.Module) -> None:
        adopt_shapes(module, rename_like(self.content["state_dict"], module.state_dict()))
        own = module.state_dict()
        has_net = any(name.startswith(_NET) for name in own)
        # Losses and metrics may have tensors, such as weights of classes, that the configuration sets.
        rest = {name: value for name, value in own.items() if has_net and not name.startswith(_NET)}
        self.content["state_dict"] = rest | rename_like(self.content["state_dict"], own)
        super().load_weights(module)


def weights_in(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name in the content of a file of torch; none if it contains something else."""
    content = content if isinstance(content, dict) else {}
    weights = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
    return {name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, Tensor)}


def rename_like(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the names of a module: those of its net lack `net.`, and DataParallel adds `module.`."""
    bare = {name.removeprefix("module."): value for name, value in weights.items()}
    candidates = [
        dict(weights),
        bare,
        *({_NET + name: value for name, value in each.items()} for each in (weights, bare)),
    ]
    return max(candidates, key=lambda named: len(named.keys() & own.keys()))


def bare_weights(path: Path, content: Any) -> BareWeights:
    """Return the weights in a file without a configuration.

    Raises:
        ConfigError: the file contains no tensors by name.
    """
    weights = weights_in(content)
    if not weights:
        raise ConfigError(f"{path} contains no weights: neither a checkpoint of a run, nor tensors by name")
    return BareWeights(path, {"state_dict": weights, CONFIG: ""})

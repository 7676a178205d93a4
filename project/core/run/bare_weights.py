"""Weights without a configuration, such as the state_dict of a net that another program saved."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from project.core.errors import ConfigError
from project.core.model.fitting import check_fitted
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.checkpoint_header import CONFIG
from project.core.run.weights import match_weights, named_weights


@dataclass
class BareWeights(LoadedCheckpoint):
    """Weights of a net or of a module, loaded to the CPU, for a configuration of the user."""

    def load_weights(self, module: nn.Module) -> None:
        self.match_precision(module)
        match = match_weights(self.content["state_dict"], module)
        if problem := match.describe_problem():
            raise ConfigError(f"checkpoint {self.path} does not fit this model\n{problem}")
        module.load_state_dict(match.loaded, strict=False)
        check_fitted(module, self.path)


def bare_weights(path: Path, content: Any) -> BareWeights:
    """Return the weights in a file without a configuration.

    Raises:
        ConfigError: the file contains no tensors by name.
    """
    return BareWeights(path, {"state_dict": named_weights(path, content), CONFIG: ""})

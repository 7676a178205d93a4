"""Compare the configs and the weights of two runs.

    python scripts/compare_runs.py experiments/digits experiments/digits_rerun

Each argument is a run directory (its checkpoints/last.ckpt) or a checkpoint. The exit code is 0 if all weights are
equal, 1 if they differ, and 2 if an argument is missing or a checkpoint cannot be read.
"""

import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from project.core.config.yaml_files import flatten, parse_yaml
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import LAST, load_checkpoint


def compare(paths: list[str]) -> int:
    """Print the differences and return the exit code."""
    try:
        one, two = (load_checkpoint(checkpoint_file(Path(path))) for path in paths)
    except ConfigError as error:
        print("error:", error, file=sys.stderr)
        return 2
    configs = [flatten(parse_yaml(checkpoint.header.config, "")) for checkpoint in (one, two)]
    for key in dict.fromkeys([*configs[0], *configs[1]]):
        values = [config.get(key, "(absent)") for config in configs]
        if values[0] != values[1]:
            print(f"config  {key}: {values[0]} | {values[1]}")
    weights: list[dict[str, Tensor]] = [one.content["state_dict"], two.content["state_dict"]]
    names = dict.fromkeys([*weights[0], *weights[1]])
    differing = {name: text for name in names if (text := difference(*(side.get(name) for side in weights)))}
    for name, text in differing.items():
        print(f"weights {name}: {text}")
    steps = [side.step for side in (one, two)]
    print(f"{len(names) - len(differing)} of {len(names)} tensors equal, at steps {steps[0]} and {steps[1]}")
    return int(bool(differing))


def difference(one: Tensor | None, two: Tensor | None) -> str:
    """Describe the difference of two tensors; return an empty string if they are equal."""
    if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
        return " | ".join("(absent)" if side is None else f"{tuple(side.shape)} {side.dtype}" for side in (one, two))
    if torch.equal(one, two) or torch.equal(one.nan_to_num(), two.nan_to_num()):
        return ""
    return f"at most {(one.double() - two.double()).abs().max().item():.3g}"


def checkpoint_file(path: Path) -> Path:
    """Return the last checkpoint of a run directory, or the given checkpoint."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    file = path / "checkpoints" / LAST if path.is_dir() else path
    if not file.is_file():
        raise ConfigError(f"{path} contains no checkpoint: there is no {file}")
    return file


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end silently when a reader such as `head` has closed the pipe
    sys.exit(compare(arguments))

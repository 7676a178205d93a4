"""What differs between two runs, in their configs and, tensor by tensor, in their weights.

    python scripts/compare_runs.py experiments/digits experiments/digits_rerun

A run is its folder (checkpoints/last.ckpt) or a checkpoint. Exits with 0 where the weights are equal, 1 where
not, and 2 where one cannot be read.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from project.core.checkpoint import LAST, read_checkpoint
from project.core.errors import ConfigError
from project.core.records import flatten
from project.core.yaml_files import parse_yaml


def compare(paths: list[str]) -> int:
    """Prints the differences, and returns the exit code."""
    try:
        one, two = (read_checkpoint(file(Path(path))) for path in paths)
    except ConfigError as error:
        print("error:", error, file=sys.stderr)
        return 2
    configs = [flatten(parse_yaml(checkpoint["run_config"], "")) for checkpoint in (one, two)]
    for key in dict.fromkeys([*configs[0], *configs[1]]):
        values = [config.get(key, "(absent)") for config in configs]
        if values[0] != values[1]:
            print(f"config  {key}: {values[0]} | {values[1]}")
    weights: list[dict[str, Tensor]] = [one["state_dict"], two["state_dict"]]
    names = dict.fromkeys([*weights[0], *weights[1]])
    differing = {name: text for name in names if (text := difference(*(side.get(name) for side in weights)))}
    for name, text in differing.items():
        print(f"weights {name}: {text}")
    steps = [side["global_step"] for side in (one, two)]
    print(f"{len(names) - len(differing)} of {len(names)} tensors equal, at steps {steps[0]} and {steps[1]}")
    return int(bool(differing))


def difference(one: Tensor | None, two: Tensor | None) -> str:
    """How two tensors differ; nothing where they are equal."""
    if one is None or two is None or one.shape != two.shape or one.dtype != two.dtype:
        return " | ".join("(absent)" if side is None else f"{tuple(side.shape)} {side.dtype}" for side in (one, two))
    if torch.equal(one, two) or torch.equal(one.nan_to_num(), two.nan_to_num()):
        return ""
    return f"at most {(one.double() - two.double()).abs().max().item():.3g}"


def file(path: Path) -> Path:
    """A run's last checkpoint."""
    return path / "checkpoints" / LAST if (path / "checkpoints").is_dir() else path


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    sys.exit(compare(arguments) if len(arguments) == 2 else __doc__)

"""Digest of the state of a training, and what differs between two states."""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# Stored: keys of checkpoints with what later steps depend on. Counters of validations, states of callbacks and what
# the header says of the run and the machine are left out.
_STATE = (
    *("epoch", "global_step", "state_dict", "current_model_state", "averaging_state", "moving_average"),
    *("optimizer_states", "lr_schedulers", "MixedPrecision"),
)
_LOOP = "fit_loop"
_EVALUATION, _PROGRESS = "val_loop", "progress"  # parts of the names of counters


def state_digest(content: Mapping[str, Any]) -> str:
    """Return the sha256 of the state in a checkpoint: weights, optimizers, schedulers, averages, scaler, steps.

    It does not depend on the order of names, on the device, or on how a tensor lies in memory.

    Args:
        content: the content of the checkpoint.

    Example::

        state_digest(load_checkpoint(path).content)  # "5f0d..."
    """
    digest = hashlib.sha256()
    for name, leaf in sorted(state_leaves(content).items()):
        kind, data = leaf_content(leaf)
        digest.update(f"{name}\0{kind}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def differing_leaves(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs between the states in two checkpoints, in the order of the first one.

    Args:
        one: content of a checkpoint.
        two: content of another one.
    """
    first, second = state_leaves(one), state_leaves(two)
    names = [*first, *(name for name in second if name not in first)]
    return [
        name for name in names if not (name in first and name in second and is_same_leaf(first[name], second[name]))
    ]


def state_leaves(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors, numbers and texts of the state in a checkpoint by dotted name."""
    state = {key: content[key] for key in _STATE if key in content}
    counters = dict(_flatten(content.get("loops", {}).get(_LOOP, {}), f"loops.{_LOOP}"))
    parts = {name: set(name.split(".")) for name in counters}
    leaves = {name: leaf for key, value in state.items() for name, leaf in _flatten(value, key)}
    return leaves | {
        name: leaf
        for name, leaf in counters.items()
        if any(_PROGRESS in part for part in parts[name]) and not any(_EVALUATION in part for part in parts[name])
    }


def leaf_content(leaf: Any) -> tuple[str, Any]:
    """Return dtype and shape of a tensor, and a buffer of its bytes; of anything else a text, and nothing."""
    if not isinstance(leaf, Tensor):
        return _text(leaf), b""
    return f"{leaf.dtype} {tuple(leaf.shape)}", _bytes(leaf).numpy()


def is_same_leaf(one: Any, two: Any) -> bool:
    """Return whether two leaves are equal: tensors by dtype, shape and bits, numbers by value."""
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.dtype == two.dtype and one.shape == two.shape and torch.equal(_bytes(one), _bytes(two))
    return not isinstance(one, Tensor) and not isinstance(two, Tensor) and _text(one) == _text(two)


def _bytes(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor, without copying those of a contiguous one on the CPU."""
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    return dense.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        items = enumerate(value)
    if not items:
        yield name, value
    for key, item in items:
        yield from _flatten(item, f"{name}.{key}")


def _text(leaf: object) -> str:
    """Return a text that is equal for equal numbers; True is 1, and NaN is NaN."""
    if isinstance(leaf, float) and not (math.isfinite(leaf) and leaf.is_integer()):
        return leaf.hex()
    return str(int(leaf)) if isinstance(leaf, int | float) else repr(leaf)

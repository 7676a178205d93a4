"""The trained state in a checkpoint: what the next steps depend on, apart from data and configuration."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

State = dict[str, Any]  # tensors and numbers by name

_DIGEST_SIZE = 8  # bytes

# Keys of Lightning's checkpoints and of `model.ema`, and what messages call them.
_AVERAGES = ("moving_average", "trained_state_dict", "averages")
_PARTS = {
    "current_model_state": "trained weight",
    "averaging_state": "average",
    "optimizer_states": "optimizer",
    "lr_schedulers": "scheduler",
    "MixedPrecision": "loss scale",
}


def trained_state(content: Mapping[str, Any]) -> State:
    """Return weights, averages, and the states of optimizers and schedulers in the content of a checkpoint, by name.

    Counters, callbacks, names and paths are left out.
    """
    key, trained, averages = _AVERAGES
    average = content.get(key) or {}
    weights = average.get(trained) or content["state_dict"]
    state = {f"weight {name}": value for name, value in weights.items()}
    state |= {f"average {name}": value for name, value in (average.get(averages) or {}).items()}
    for part, word in _PARTS.items():
        state |= dict(_leaves(content.get(part), word))
    return state


def differing(one: State, two: State) -> list[str]:
    """Return the names at which two states differ, also those that only one has, in the order of the first."""
    return [name for name in {**one, **two} if not (name in one and name in two and is_same(one[name], two[name]))]


def is_same(one: Any, two: Any) -> bool:
    """Return whether two values have the same type and bits; NaN is equal to NaN, as its other bits mean nothing."""
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        if one.dtype != two.dtype or one.shape != two.shape:
            return False
        if torch.equal(_bits(one), _bits(two)):
            return True
        has_nan = one.is_floating_point() and bool(one.isnan().any())
        return has_nan and torch.equal(_bits(one.nan_to_num(0)), _bits(two.nan_to_num(0))) and _same_nans(one, two)
    return type(one) is type(two) and (bool(one == two) or (one != one and two != two))


def digest_state(state: State) -> dict[str, int]:
    """Return a digest of each value, which no other value has."""
    digests = {}
    for name, value in state.items():
        is_tensor = isinstance(value, Tensor)
        content = _bits(value).numpy().tobytes() if is_tensor else repr(value).encode()
        head = f"{value.dtype} {tuple(value.shape)}" if is_tensor else type(value).__name__
        digest = blake2b(head.encode() + content, digest_size=_DIGEST_SIZE)
        digests[name] = int.from_bytes(digest.digest(), "little")
    return digests


def mismatched_weights(one: State, two: State) -> list[str]:
    """Return what differs in names and shapes of the weights, as texts."""
    shapes = [
        {name: _shape(value) for name, value in state.items() if name.startswith("weight ")} for state in (one, two)
    ]
    first, second = shapes
    found = []
    for name in {**first, **second}:
        if name not in second or name not in first:
            found.append(f"only {'A' if name in first else 'B'} has {name}")
        elif first[name] != second[name]:
            found.append(f"{name} is {first[name]} in A and {second[name]} in B")
    return found


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _bits(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor: -0 and 0 differ."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def _same_nans(one: Tensor, two: Tensor) -> bool:
    return torch.equal(one.isnan(), two.isnan())


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the values in nested mappings and lists with their paths."""
    if isinstance(value, Mapping):
        items: Any = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    else:
        if value is not None:
            yield path, value
        return
    for key, item in items:
        yield from _leaves(item, f"{path} {key}")

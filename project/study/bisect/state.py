"""The trained state in a checkpoint: what the next steps depend on, apart from data and configuration."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from torch import Tensor

from project.core.run.state_digest import is_same_leaf, leaf_content, state_leaves

State = dict[str, Any]  # tensors and numbers by name

_DIGEST_SIZE = 8  # bytes

# What messages call the parts of a state; others, such as counters, do not depend on what was computed. With
# `model.ema`, `state_dict` contains averages.
_TRAINED, _WEIGHTS = "moving_average.trained_state_dict.", "state_dict."
_WORDS = {
    _TRAINED: "weight",
    "moving_average.averages.": "average",
    _WEIGHTS: "weight",
    "current_model_state.": "trained weight",
    "averaging_state.": "average",
    "optimizer_states.": "optimizer",
    "lr_schedulers.": "scheduler",
    "MixedPrecision.": "loss scale",
}


def trained_state(content: Mapping[str, Any]) -> State:
    """Return weights, averages, and the states of optimizers and schedulers in the content of a checkpoint, by name.

    Counters, callbacks, names and paths are left out.
    """
    leaves = {name: leaf for name, leaf in state_leaves(content).items() if _is_value(leaf)}
    has_averages = any(name.startswith(_TRAINED) for name in leaves)
    return {
        f"{word} {name.removeprefix(part)}": leaf
        for part, word in _WORDS.items()
        if not (part == _WEIGHTS and has_averages)
        for name, leaf in leaves.items()
        if name.startswith(part)
    }


def differing(one: State, two: State) -> list[str]:
    """Return the names at which two states differ, also those that only one has, in the order of the first."""
    return [name for name in {**one, **two} if not (name in one and name in two and is_same_leaf(one[name], two[name]))]


def digest_state(state: State) -> dict[str, int]:
    """Return a digest of each value, which no other value has."""
    digests = {}
    for name, value in state.items():
        kind, data = leaf_content(value)
        digest = blake2b(kind.encode(), digest_size=_DIGEST_SIZE)
        digest.update(data)
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


def _is_value(leaf: object) -> bool:
    """Return whether a leaf is not None, or an empty dict or list."""
    return isinstance(leaf, Tensor) or leaf not in (None, {}, [], ())

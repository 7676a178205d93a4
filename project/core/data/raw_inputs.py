"""Raw inputs of a dataset: those that its attribute `raw` describes, and others by the tensors of a batch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from project.core.data.tensors import Tensors, describe_shapes
from project.core.errors import ConfigError
from project.deploy.inputs import Input, Numbers, Picture, fits

CLASS = "label"  # the tensor that is one of `Dataset.classes`


def raw_inputs(dataset: Any, batch: Tensors, names: Iterable[str]) -> dict[str, Input]:
    """Return the raw inputs of the tensors that a net takes.

    Args:
        dataset: the dataset.
        batch: a batch of it `(B, ...)`, for tensors that its `raw` does not describe.
        names: names of the tensors.

    Raises:
        ConfigError: a tensor is not in the batch, is none that an exported net takes, or is not what `raw` says.
    """
    owner, described = type(dataset).__name__, getattr(dataset, "raw", {})
    if not isinstance(described, Mapping):
        raise ConfigError(f"{owner}.raw is {described!r}; it must be a dict of Picture and Numbers by tensor")
    inputs: dict[str, Input] = {}
    for name in names:
        if not isinstance(batch.get(name), Tensor):
            raise ConfigError(f"the net takes `{name}`, but a batch of {owner} has {describe_shapes(batch)}")
        shape, dtype = tuple(batch[name].shape[1:]), str(batch[name].dtype).removeprefix("torch.")
        if not _is_in_numpy(batch[name].dtype):
            raise ConfigError(f"{owner}: `{name}` is {dtype}, which NumPy lacks; let the dataset return float32")
        inputs[name] = described.get(name, Numbers(shape, dtype))
        raw = inputs[name]
        if not (isinstance(raw, Picture | Numbers) and raw.dtype == dtype and fits(shape, raw.shape)):
            raise ConfigError(
                f"{owner}.raw says that `{name}` is {raw}, but a sample has {shape} {dtype}\n"
                "Correct `raw`; if an augmentation changes the tensor for the net, move it to model.prepare"
            )
    return inputs


def class_names(dataset: Any) -> dict[str, list[str]]:
    """Return the names of the classes of a dataset, by the name of the tensor."""
    names = getattr(dataset, "classes", None)
    return {CLASS: [str(name) for name in names]} if isinstance(names, Sequence) and names else {}


def _is_in_numpy(dtype: torch.dtype) -> bool:
    try:
        torch.empty(0, dtype=dtype).numpy()  # np.dtype would find bfloat16 once onnx is imported
    except TypeError:
        return False
    return True

"""Predictions and targets of samples, for samples.csv."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from project.core.data.tensors import Tensors, batch_size, select_rows
from project.core.model.wiring import WiredTerm

COLUMNS = ("prediction", "target")  # public: the columns of samples.csv


@dataclass
class PredictionColumns:
    """Predictions and targets of a batch.

    Args:
        values: columns `(B,)` by name.
        tensors: name of the tensor that each column is, such as label.
    """

    values: Tensors = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, tensor: str, value: Tensor) -> None:
        """Add a column, which is a tensor."""
        self.values[name], self.tensors[name] = value, tensor


def prediction_columns(
    batch: Tensors, prediction: Tensors, losses: Mapping[str, WiredTerm], is_predicted: bool
) -> PredictionColumns:
    """Return predictions and targets that are single numbers per sample, as columns `prediction` and `target`.

    The target of a predicted NAME is the batch's NAME, such as `label`; else it is what a loss compares NAME with. If
    there are several predictions, only a single one with a target is called so; others are `prediction.NAME`.

    Args:
        batch: the batch.
        prediction: result of the net's `predict`, or its output.
        losses: the losses.
        is_predicted: whether it is the result of `predict`; of an output, only what has a target is a prediction.
    """
    count = batch_size(batch)
    found, known = _numbers(prediction, count), _numbers(batch, count)
    compared = _compared(losses)
    target_of = {name: name if name in known else compared.get(name, name) for name in found}
    targets = {name: known[target] for name, target in target_of.items() if target in known}
    shown = found if is_predicted else {name: found[name] for name in targets}
    main = [*targets] or [*shown]
    columns = PredictionColumns()
    for name, value in shown.items():
        suffix = "" if main == [name] else f".{name}"
        columns.add(COLUMNS[0] + suffix, name, value)
        if name in targets:
            columns.add(COLUMNS[1] + suffix, target_of[name], targets[name])
    return columns


def _numbers(tensors: Tensors, count: int) -> Tensors:
    """Return the tensors `(B,)` and `(B, 1)` as `(B,)`."""
    return {name: value.reshape(-1) for name, value in select_rows(tensors, count).items() if value.numel() == count}


def _compared(losses: Mapping[str, WiredTerm]) -> dict[str, str]:
    """Return which tensor each loss compares with which: its arguments `prediction` (torch: `input`) and `target`."""
    pairs: dict[str, str] = {}
    for term in losses.values():
        tensors = {argument: tensor for argument, tensor, _ in term.call.sources}
        predicted = tensors.get("prediction", tensors.get("input"))
        if predicted is not None and "target" in tensors:
            pairs.setdefault(predicted, tensors["target"])
    return pairs

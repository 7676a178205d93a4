"""The values in the line of an epoch: those that fit a terminal, the most important first."""

from collections.abc import Mapping

from project.core.log import format_values

WIDTH = 103  # columns of a message; with its time and level, a line has 120
_RATE = "lr"


def main_values(values: Mapping[str, float], width: int, monitor: str | None = None) -> dict[str, float]:
    """Return the most important values whose text is not wider than `width` columns, up to the first that does not fit.

    These are the loss of the training, the value that selects the best checkpoint, the loss of the validation, the
    learning rates, and the metrics of the validation, in this order. A loss that is the only one is in its sum, and a
    learning rate that is the only one is called `lr`.

    Args:
        values: all values by name.
        width: number of columns.
        monitor: name of the value that selects the best checkpoint.
    """
    rates = [name for name in values if _is_learning_rate(name)]
    if len(rates) == 1:
        values = {_RATE if name in rates else name: value for name, value in values.items()}
    chosen: dict[str, float] = {}
    for name in sorted(values, key=lambda name: _rank(name, monitor)):
        if _is_in_sum(name, values):
            continue
        if len(format_values(chosen | {name: values[name]})) > width:
            break  # a shorter value would take the place of a more important one, in some epochs
        chosen[name] = values[name]
    return {name: chosen[name] for name in sorted(chosen, key=_is_learning_rate)}


def _rank(name: str, monitor: str | None) -> int:
    split, last = name.partition("/")[0], name.rpartition("/")[2]
    is_loss = last in ("sum", "loss")
    order = [
        split == "train" and is_loss,
        name == monitor,
        split == "val" and is_loss,
        _is_learning_rate(name),
        split == "val",
        split == "eval",
        split != "train",
    ]
    return order.index(True) if True in order else len(order)


def _is_in_sum(name: str, values: Mapping[str, float]) -> bool:
    """Return whether a value is equal to the sum of the losses of its dataset."""
    total = f"{name.rpartition('/')[0]}/sum"
    return name != total and total in values and values[total] == values[name]


def _is_learning_rate(name: str) -> bool:
    return name == _RATE or name.startswith(f"{_RATE}-")

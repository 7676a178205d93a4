"""Bounds of numbers: those that an annotation declares, and those of arguments of Lightning and torch.

A component declares bounds beside the argument, with the package annotated-types::

    def __init__(self, sigma: Annotated[float, Gt(0)], dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.0) -> None:
"""

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytorch_lightning as pl
from annotated_types import Ge, Gt, Interval, Le, Lt
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging, ThroughputMonitor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

Bound = Gt | Ge | Lt | Le | Interval
_OPERATORS = {"gt": (">", operator.gt), "ge": (">=", operator.ge), "lt": ("<", operator.lt), "le": ("<=", operator.le)}
_FINITE = Interval(gt=-math.inf, lt=math.inf)
_NOT_NEGATIVE, _POSITIVE, _FRACTION, _COUNT = Ge(0), Gt(0), Interval(ge=0, le=1), Ge(1)


def _bound(bound: Bound, names: str) -> dict[str, Bound]:
    return dict.fromkeys(names.split(), bound)


_LIBRARIES = ("torch.", "pytorch_lightning.")
# By base class and argument; the other numbers of the libraries' own classes must be finite.
_OF_LIBRARIES: Mapping[type, Mapping[str, Bound]] = {
    pl.Trainer: _bound(Ge(-1), "max_epochs max_steps num_sanity_val_steps")
    | _bound(_NOT_NEGATIVE, "min_epochs min_steps log_every_n_steps overfit_batches reload_dataloaders_every_n_epochs")
    | _bound(_NOT_NEGATIVE, "limit_train_batches limit_val_batches limit_test_batches limit_predict_batches")
    | _bound(_COUNT, "accumulate_grad_batches check_val_every_n_epoch num_nodes")
    | _bound(_POSITIVE, "val_check_interval"),
    Optimizer: _bound(_NOT_NEGATIVE, "lr weight_decay momentum lr_decay lambd alpha momentum_decay etas step_sizes"),
    LRScheduler: _bound(_NOT_NEGATIVE, "gamma factor start_factor end_factor eta_min min_lr max_lr base_lr power")
    | _bound(_NOT_NEGATIVE, "patience cooldown milestones base_momentum max_momentum threshold")
    | _bound(_COUNT, "step_size step_size_up step_size_down total_iters total_steps T_max T_0 T_mult")
    | _bound(_POSITIVE, "div_factor final_div_factor")
    | _bound(_FRACTION, "pct_start"),
    EarlyStopping: _bound(_NOT_NEGATIVE, "patience"),
    EMAWeightAveraging: _bound(_FRACTION, "decay") | _bound(_NOT_NEGATIVE, "update_every_n_steps"),
    ThroughputMonitor: _bound(Ge(2), "window_size"),
}


def add_bounds(annotation: Any, cls: type, name: str) -> Any:
    """Return an argument's annotation with the bounds that Lightning or torch do not declare themselves.

    Args:
        annotation: annotation of the argument.
        cls: class with the argument.
        name: name of the argument.
    """
    for base, bounds in _OF_LIBRARIES.items():
        if issubclass(cls, base) and (name in bounds or cls.__module__.startswith(_LIBRARIES)):
            return _bound_numbers(annotation, bounds.get(name, _FINITE))
    return annotation


def is_within(number: float, metadata: Iterable[object]) -> bool:
    """Return whether a number is within the bounds in an annotation's metadata; with bounds, it must be finite."""
    limits = list(_limits(metadata))
    is_finite = isinstance(number, int) or math.isfinite(number)
    return not limits or (is_finite and all(_OPERATORS[name][1](number, limit) for name, limit in limits))


def describe_bounds(metadata: Iterable[object]) -> str:
    """Return the bounds in an annotation's metadata as messages show them: `>= 0 and < 1`."""
    return " and ".join(f"{_OPERATORS[name][0]} {limit}" for name, limit in _limits(metadata) if math.isfinite(limit))


def _limits(metadata: Iterable[object]) -> Iterator[tuple[str, Any]]:
    for bound in metadata:
        if isinstance(bound, Bound):
            yield from ((name, limit) for name in _OPERATORS if (limit := getattr(bound, name, None)) is not None)


def _bound_numbers(annotation: Any, bound: Bound) -> Any:
    """Return an annotation in which the numbers have a bound, also those in unions, lists and tuples."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        return Annotated[annotation, bound]
    if origin in (Union, UnionType):
        return Union[tuple(_bound_numbers(member, bound) for member in arguments)]  # noqa: UP007  # built at run time
    if origin in (list, tuple, Iterable):
        return origin[tuple(_bound_numbers(member, bound) for member in arguments)]
    return annotation

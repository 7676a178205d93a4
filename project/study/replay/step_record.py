"""What a replay found out about one step: replay.json, and what the page shows."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

_FAR = 100.0  # times as large as is usual


@dataclass
class SampleRecord:
    """A sample of the batch.

    Args:
        row: its row in the batch of all processes.
        index: its index in the dataset; None if that is not known.
        name: what the dataset calls it.
        losses: its values of each loss, by name, where the mean over the samples is the loss.
    """

    row: int
    index: int | None
    name: str
    losses: dict[str, float] = field(default_factory=dict)


@dataclass
class TensorRecord:
    """A tensor of the batch, before it is changed: its shape, range, and pictures of its rows.

    Args:
        name: name in the batch.
        shape: its shape.
        dtype: its dtype.
        minimum: the smallest finite value; None if there is none.
        maximum: the largest finite value.
        mean: mean of the finite values.
        non_finite: number of values that are infinite or NaN.
        peaks: the largest absolute value of each row, without those that are infinite or NaN; empty for whole numbers.
        pictures: files of the rows in the directory of the replay, if they are pictures; empty for a row without one.
        black: the value that is drawn black.
        white: the value that is drawn white.
    """

    name: str
    shape: list[int]
    dtype: str
    minimum: float | None
    maximum: float | None
    mean: float | None
    non_finite: int
    peaks: list[float] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    black: float | None = None
    white: float | None = None

    @property
    def usual_peak(self) -> float | None:
        """Median of the largest absolute values of the rows that are not all 0; None if there are none."""
        return usual(self.peaks)

    def far_rows(self) -> dict[int, float]:
        """Return the rows whose largest absolute value is far above what is usual, with that value."""
        typical = self.usual_peak
        return {row: peak for row, peak in enumerate(self.peaks) if typical and is_far(peak, typical)}


@dataclass
class ParameterRecord:
    """A parameter: norms before the step, of its gradient as the optimizer got it, and of its change.

    Args:
        name: its name in the module.
        shape: its shape.
        norm: its norm before the step.
        gradient_norm: norm of the gradient that the optimizer got; None if it got none.
        update_ratio: norm of its change, divided by `norm`; None if that is 0.
        unclipped_norm: norm of the gradient before it was clipped; None if that is not known.
    """

    name: str
    shape: list[int]
    norm: float
    gradient_norm: float | None
    update_ratio: float | None
    unclipped_norm: float | None = None


@dataclass
class ActivationRecord:
    """Outputs of a module in the forward pass of a batch; `call` counts its calls in the step from 0.

    Args:
        module: its name.
        type: its class.
        call: which of its calls it was.
        shape: shape of the output.
        mean: mean of the values.
        std: their standard deviation.
        maximum: the largest absolute value.
        zeros: share of the values that are 0.
        non_finite: number of values that are infinite or NaN.
        output: name of the output, if the module returns several; `logits` of a dict, `0` of a tuple.
    """

    module: str
    type: str
    call: int
    shape: list[int]
    mean: float
    std: float
    maximum: float
    zeros: float
    non_finite: int
    output: str = ""


@dataclass
class StepRecord:
    """A replayed step.

    Args:
        step: the optimizer step, as the x of the curves; from 1.
        epoch: its epoch, from 1.
        batches: the batches of the epoch that it took, from 1; several where gradients are accumulated.
        seeds: seeds of the random number generators, by batch.
        samples: the samples, largest first loss first; in the order of the batch if losses do not divide.
        losses: the values of the step by name; their weighted sum is `sum`.
        divides: by name of a loss, whether the mean over the samples equals it.
        tensors: the batch.
        parameters: the parameters.
        activations: outputs of the modules.
        rates: learning rates by name of the curve.
        non_finite: what is infinite or NaN, where it began first; empty if nothing is.
        skipped: whether `skip_steps` left it out.
        file: file in the directory of the replay with the tensors of the batch.
        notes: what is missing here, and why.
    """

    step: int
    epoch: int
    batches: list[int]
    seeds: list[int]
    samples: list[SampleRecord] = field(default_factory=list)
    losses: dict[str, float] = field(default_factory=dict)
    divides: dict[str, bool] = field(default_factory=dict)
    tensors: list[TensorRecord] = field(default_factory=list)
    parameters: list[ParameterRecord] = field(default_factory=list)
    activations: list[ActivationRecord] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    non_finite: list[str] = field(default_factory=list)
    skipped: bool = False
    file: str = ""
    notes: list[str] = field(default_factory=list)

    def unusual_rows(self) -> dict[int, str]:
        """Return what is unusual about samples, by row: values far larger than those of the others."""
        found: dict[int, list[str]] = {}
        for tensor in self.tensors:
            for row, peak in tensor.far_rows().items():
                found.setdefault(row, []).append(f"{tensor.name} reaches {peak:.4g}, usual is {tensor.usual_peak:.4g}")
        return {row: ", ".join(texts) for row, texts in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass
class LoggedComparison:
    """Values that the run and the replay logged at the same step, compared bit for bit.

    Args:
        compared: number of values that both logged.
        differing: those that differ: name, step, value of the run, value of the replay; in the order of steps.
        only_run: names that the replay did not log.
        first: the optimizer steps done before the replay.
        last: last step that was trained again.
    """

    compared: int
    differing: list[tuple[str, int, float, float]]
    only_run: list[str]
    first: int
    last: int

    @property
    def verdict(self) -> str:
        """`equal`, `differs`, or `unproven` if nothing was logged."""
        return "differs" if self.differing else "equal" if self.compared else "unproven"


def usual(values: Iterable[float | None]) -> float | None:
    """Return the median of the positive values; None if there are none."""
    positive = [value for value in values if value and math.isfinite(value)]
    return median(positive) if positive else None


def is_far(value: float, typical: float) -> bool:
    """Return whether a value is far above one that is usual."""
    return value > _FAR * typical

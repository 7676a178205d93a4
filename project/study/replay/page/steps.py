"""A replayed step: what went in, what came out, and what changed."""

import math
from collections.abc import Iterator
from pathlib import Path

from project.study.grouping import drop_sums
from project.study.replay.page.marks import mark_activations, mark_parameters
from project.study.replay.page.samples import show_samples
from project.study.replay.page.tables import Column, Tables, long_table, show_name, show_number
from project.study.replay.step_record import ActivationRecord, ParameterRecord, StepRecord, TensorRecord
from project.study.report.embedding import Embedder
from project.study.report.html import Html, join, section, tag
from project.study.report.pieces import grid, tiles


def show_step(record: StepRecord, directory: Path, embedder: Embedder, num_cards: int, tables: Tables) -> Html:
    """Return the part of a page about a step.

    Args:
        record: the step.
        directory: directory of the page, with the pictures.
        embedder: makes the pictures.
        num_cards: samples that are shown with pictures.
        tables: receives the rows of its tables.
    """
    title = f"Step {record.step}"
    return tag(
        "article",
        tag("h2", title, tag("small", describe_place(record)), class_="step"),
        *_show_state(record),
        tiles(_facts(record)),
        show_samples(record, directory, embedder, num_cards, tables),
        _show_tensors(record, tables),
        _show_parameters(record, tables),
        _show_activations(record, tables),
        _show_settings(record),
        id=f"step-{record.step}",
        aria_label=title,
    )


def gradient_norm(record: StepRecord) -> float | None:
    """Return the norm of all gradients together; None without any."""
    norms = [each.gradient_norm for each in record.parameters if each.gradient_norm is not None]
    return math.hypot(*norms) if norms else None


def main_loss(record: StepRecord) -> float | None:
    """Return the loss of a step: the sum of its losses; None if it is not known."""
    return record.losses.get("sum", next(iter(record.losses.values()), None))


def describe_place(record: StepRecord) -> str:
    """Return where in the training a step is, such as `epoch 2, batch 10`."""
    batches = "" if not record.batches else f", batch {record.batches[0]}"
    return f"epoch {record.epoch}{batches}" + (f" to {record.batches[-1]}" if len(record.batches) > 1 else "")


def _show_state(record: StepRecord) -> Iterator[Html]:
    if record.skipped:
        text = "skip_steps leaves this step out: its batch was read, and nothing was computed or changed."
        yield tag("p", text, class_="skipped")
    if record.non_finite:
        origin, *others = record.non_finite
        yield tag(
            "div",
            tag("p", tag("strong", "Not finite first: "), show_name(origin)),
            tag("ol", *(tag("li", show_name(text)) for text in others[:10]), start=2) if others else None,
            tag("p", f"and {len(others) - 10} more") if len(others) > 10 else None,
            class_="problem origin",
        )

    for note in record.notes:
        yield tag("p", show_name(note), class_="note")


def _facts(record: StepRecord) -> Iterator[tuple[str, object]]:
    for name in drop_sums([*record.losses], [record.losses])[:4]:
        yield name, show_number(record.losses[name])
    if record.samples:
        yield "samples", len(record.samples)
    if (norm := gradient_norm(record)) is not None:
        yield "gradient norm", show_number(norm)
    ratios = [each.update_ratio for each in record.parameters if each.update_ratio is not None]
    if ratios:
        yield "largest update ratio", show_number(max(ratios))
    for name, value in [*record.rates.items()][:2]:
        yield name, show_number(value)


def _show_tensors(record: StepRecord, tables: Tables) -> Html | None:
    tensors = record.tensors
    columns = [
        Column("tensor", [each.name for each in tensors]),
        Column("shape", [_shape(each.shape) for each in tensors]),
        Column("dtype", [each.dtype for each in tensors]),
        Column("smallest", [each.minimum for each in tensors], "number"),
        Column("largest", [each.maximum for each in tensors], "number"),
        Column("mean", [each.mean for each in tensors], "number"),
        Column("pictures", [_picture_range(each) for each in tensors]),
        Column("not finite", [f"{each.non_finite} values" if each.non_finite else "" for each in tensors], "mark"),
    ]
    return _table("Batch", "tensors", columns, record, tables, "before the module changes it")


def _show_parameters(record: StepRecord, tables: Tables) -> Html | None:
    marks = mark_parameters(record.parameters)
    rows = sorted(
        zip(record.parameters, marks, strict=True),
        key=lambda row: (not row[1], -_size(row[0].update_ratio)),
    )
    parameters = [each for each, _ in rows]
    columns = [
        Column("parameter", [each.name for each in parameters]),
        Column("unusual", [mark for _, mark in rows], "mark"),
        Column("gradient norm", [each.gradient_norm for each in parameters], "log bar"),
        Column("before clipping", [_if_other(each) for each in parameters], "number"),
        Column("update ratio", [each.update_ratio for each in parameters], "log bar"),
        Column("norm", [each.norm for each in parameters], "number"),
        Column("shape", [_shape(each.shape) for each in parameters]),
    ]
    note = "update ratio: norm of the change divided by the norm before; bars have a logarithmic scale"
    return _table("Parameters", "parameters", columns, record, tables, note)


def _show_activations(record: StepRecord, tables: Tables) -> Html | None:
    marks = mark_activations(record.activations)
    rows = sorted(zip(record.activations, marks, strict=True), key=lambda row: not row[1])  # else in order of the calls
    outputs = [each for each, _ in rows]
    columns = [
        Column("module", [_output_name(each) for each in outputs]),
        Column("unusual", [mark for _, mark in rows], "mark"),
        Column("type", [each.type for each in outputs]),
        Column("call", [each.call + 1 for each in outputs] if any(each.call for each in outputs) else [], "number"),
        Column("mean", [each.mean for each in outputs], "number"),
        Column("std", [each.std for each in outputs], "log bar"),
        Column("largest", [each.maximum for each in outputs], "number"),
        Column("share of zeros", [each.zeros for each in outputs], "number"),
        Column("shape", [_shape(each.shape) for each in outputs]),
    ]
    return _table(
        "Activations", "activations", columns, record, tables, "outputs of modules, in the order of the calls"
    )


def _show_settings(record: StepRecord) -> Html | None:
    facts = [(show_name(name), repr(value)) for name, value in record.rates.items()]
    facts += [
        (join(f"seed of batch {batch}"), str(seed)) for batch, seed in zip(record.batches, record.seeds, strict=False)
    ]
    rows = ([tag("th", name, scope="row"), value] for name, value in facts)
    return section("Learning rates and seeds", grid("rates and seeds", [], rows, class_="facts")) if facts else None


def _table(title: str, key: str, columns: list[Column], record: StepRecord, tables: Tables, note: str) -> Html | None:
    """Return a section with a table; None if it has no rows."""
    if not columns[0].values:
        return None
    return section(title, long_table(f"{key}{record.step}", f"{key} of step {record.step}", columns, tables), note=note)


def _output_name(record: ActivationRecord) -> str:
    return f"{record.module or '(the module)'}{f' [{record.output}]' if record.output else ''}"


def _if_other(record: ParameterRecord) -> float | None:
    """Return the norm of a gradient before it was clipped, if clipping changed it."""
    return None if record.unclipped_norm == record.gradient_norm else record.unclipped_norm


def _picture_range(record: TensorRecord) -> str:
    """Return which values are black and white in pictures."""
    if not any(record.pictures) or record.black is None:
        return ""
    return f"black is {show_number(record.black)}, white {show_number(record.white)}"


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _size(value: float | None) -> float:
    return -1.0 if value is None else math.inf if math.isnan(value) else value

"""The samples of a replayed batch: those to look at as cards with pictures, and all as a table."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from project.study.grouping import drop_sums
from project.study.replay.page.tables import Column, Tables, long_table, show_name, show_number
from project.study.replay.step_record import SampleRecord, StepRecord
from project.study.report.embedding import Embedder
from project.study.report.html import Html, join, section, tag

_MAX_PICTURES = 2  # of a card


def show_samples(
    record: StepRecord, directory: Path, embedder: Embedder, num_cards: int, tables: Tables
) -> Html | None:
    """Return a section about the samples of a step; None if there are none.

    Args:
        record: the step.
        directory: directory of the page.
        embedder: makes the pictures.
        num_cards: samples that are shown with pictures.
        tables: receives that of all samples.
    """
    if not record.samples:
        return None
    marks = record.unusual_rows()
    has_losses = any(sample.losses for sample in record.samples)
    marked = [sample for sample in record.samples if sample.row in marks][:num_cards]
    others = [sample for sample in record.samples if sample.row not in marks][: num_cards - len(marked)]
    parts: list[Html | None] = [*_explain(record, has_losses)]
    for title, samples in (("Unusual samples", marked), ("Largest loss" if has_losses else "First samples", others)):
        cards = [_card(sample, record, directory, embedder, marks) for sample in samples]
        if any("<img" in card for card in cards) or title == "Unusual samples":
            parts += [tag("h3", title), tag("ul", *cards, class_="cards")] if cards else []
    parts.append(tag("h3", f"All {len(record.samples)} samples"))
    parts.append(_table(record, marks, tables))
    return section("Samples", *parts, note="largest loss first" if has_losses else "in the order of the batch")


def _explain(record: StepRecord, has_losses: bool) -> Iterator[Html]:
    """Yield why losses of samples are missing."""
    missing = [name for name, divides in record.divides.items() if not divides]
    if record.skipped:
        return
    if missing:
        names = ", ".join(missing)
        text = f"The mean over the samples is not {names}: a sample has no loss of its own, without the others."
        yield tag("p", text, class_="note")
    elif not has_losses and not record.notes:
        text = (
            "The losses of samples are not known: the module computes its loss itself, and not by model.loss, so there "
            "is nothing to call for one sample."
        )
        yield tag("p", text, class_="note")


def _card(
    sample: SampleRecord, record: StepRecord, directory: Path, embedder: Embedder, marks: Mapping[int, str]
) -> Html:
    title = _title(sample)
    images = [
        embedder.image(directory / file, f"{name} of sample {title}")
        for name, file in _pictures(sample, record)[:_MAX_PICTURES]
    ]
    names = drop_sums([*sample.losses], [sample.losses])
    shown = [(name, show_number(sample.losses[name])) for name in names]
    first = tag("span", shown[0][1], title=shown[0][0]) if shown else None
    facts: list[tuple[str, object]] = [("index", sample.index)] if sample.name and sample.index is not None else []
    facts += [("row", sample.row), *shown[1:]]
    terms = (join(tag("dt", show_name(name)), tag("dd", value)) for name, value in facts)
    mark = tag("div", marks[sample.row], class_="mark") if sample.row in marks else None
    pictures = tag("div", *images, class_="pictures") if any(images) else None
    return tag("li", pictures, tag("p", show_name(title), first), mark, tag("dl", *terms))


def _table(record: StepRecord, marks: Mapping[int, str], tables: Tables) -> Html:
    samples = record.samples
    names = [*dict.fromkeys(name for sample in samples for name in sample.losses)]
    names = drop_sums(names, [sample.losses for sample in samples])
    columns = [
        Column("sample", [_title(sample) for sample in samples]),
        Column("index", [sample.index for sample in samples], "number"),
        Column("row", [sample.row for sample in samples], "number"),
        *(Column(name, [sample.losses.get(name) for sample in samples], "bar") for name in names),
    ]
    for tensor in record.tensors:
        if tensor.peaks:
            peaks = dict(enumerate(tensor.peaks))
            columns.append(Column(f"largest |{tensor.name}|", [peaks.get(sample.row) for sample in samples], "number"))
    columns.append(Column("unusual", [marks.get(sample.row, "") for sample in samples], "mark"))
    links = [next((file for _, file in _pictures(sample, record)), None) for sample in samples]
    return long_table(f"samples{record.step}", "samples", [*columns, Column("picture", links, "link")], tables)


def _title(sample: SampleRecord) -> str:
    return sample.name or (f"row {sample.row}" if sample.index is None else f"#{sample.index}")


def _pictures(sample: SampleRecord, record: StepRecord) -> list[tuple[str, str]]:
    """Return the names of tensors of which a sample has a picture, with the files."""
    found = ((tensor.name, tensor.pictures) for tensor in record.tensors)
    return [(name, files[sample.row]) for name, files in found if sample.row < len(files) and files[sample.row]]

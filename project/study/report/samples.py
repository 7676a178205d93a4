"""Worst and best samples of an evaluation, by a loss in samples.csv."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from project.study.files import check_regular, list_files
from project.study.report.embedding import Embedder
from project.study.report.html import Html, join, tag
from project.study.report.pieces import format_number, grid, number_cell

_SHOWN = 12  # worst samples, and best ones
_MAX_ROWS = 1_000_000  # of samples.csv
_MAX_LINE = 1_000_000  # characters; csv refuses a value of as many
_MAX_VALUES = 10  # of a sample
_PROBABILITY, _NAME = "prediction.probability", "_name"  # the name of a class is in a column of its own
_PAIR = ("prediction", "target", f"prediction{_NAME}", f"target{_NAME}", _PROBABILITY)  # in a line of a card

_MAX_KEPT = 10_000  # rows in memory

Row = dict[str, str]
_Entry = tuple[float, int, Row]  # loss with its sign changed, position in the file, row


def show_samples(directory: Path, losses: Sequence[str], embedder: Embedder) -> Html | None:
    """Return the samples with the highest and the lowest loss; None without losses by sample.

    Args:
        directory: directory of the results, with samples.csv, and samples/INDEX.png for some of its rows.
        losses: names of the losses; the first one that is a column counts.
        embedder: makes the pictures.
    """
    file = directory / "samples.csv"
    try:
        check_regular(file)
        with file.open(encoding="utf-8", errors="replace", newline="") as opened:
            rows = csv.reader(iter(partial(opened.readline, _MAX_LINE), ""))
            names = next(rows, [])
            loss = next((name for name in losses if name in names), None)
            if loss is None:
                return None
            columns = {name: names.index(name) for name in ("index", "name", loss) if name in names}
            others = [name for name in names if name and name not in columns][:_MAX_VALUES]
            columns |= {name: names.index(name) for name in others}
            pictures = {each.stem: each for each in list_files(directory / "samples", ".png")}
            found = ({name: row[at] for name, at in columns.items() if at < len(row)} for row in rows if row)
            ranking = _rank(islice(found, _MAX_ROWS), loss, pictures)
            is_cut = next(rows, None) is not None
    except FileNotFoundError:
        return None
    except (OSError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        embedder.problems.append(f"{directory.name}/samples.csv cannot be read: {why}")
        return None
    count = ranking.num_not_finite
    notes = [f"{count} samples have a {loss} that is not finite"] if count else []
    notes += [f"only the first {_MAX_ROWS} samples were read"] if is_cut else []
    parts: list[object] = [tag("p", note, class_="problem") for note in notes]
    for title, shown in ((f"Highest {loss}", ranking.worst), (f"Lowest {loss}", ranking.best)):
        if shown:
            parts += [tag("h3", title), _show_rows(shown, loss, others, pictures, embedder, title)]
    return join(*parts) if parts else None


@dataclass
class _Ranking:
    worst: list[Row]  # those with the highest loss first
    best: list[Row]  # those with the lowest loss first
    num_not_finite: int


def _rank(rows: Iterable[Row], loss: str, pictures: Mapping[str, Path]) -> _Ranking:
    """Rank samples by a loss.

    The evaluation drew the worst and best: if some have a picture, only those are ranked, because others may have an
    equal loss.
    """
    ranked: list[_Entry] = []
    drawn: list[_Entry] = []
    num_not_finite = 0
    for position, row in enumerate(rows):
        value = _number(row.get(loss))
        if not math.isfinite(value):
            num_not_finite += 1
            continue
        entry = (-value, position, row)
        ranked.append(entry)
        if _picture_name(row) in pictures:
            drawn.append(entry)
        if len(ranked) == _MAX_KEPT:  # samples.csv may have millions of rows
            ranked = _keep_ends(ranked)
    kept = _keep_ends(drawn or ranked)
    chosen = [row for _, _, row in kept]
    return _Ranking(chosen[:_SHOWN], chosen[_SHOWN:][::-1], num_not_finite)


def _keep_ends(ranked: list[_Entry]) -> list[_Entry]:
    """Return the first and last entries, sorted."""
    ranked.sort(key=lambda entry: entry[:2])
    return [*ranked[:_SHOWN], *ranked[_SHOWN:][-_SHOWN:]]


def _show_rows(
    rows: list[Row], loss: str, names: list[str], pictures: dict[str, Path], embedder: Embedder, title: str
) -> Html:
    """Return a card with a picture for each sample, or a table where there are no pictures."""
    if not any(_picture_name(row) in pictures for row in rows):
        lines = ([_title(row), *(_cell(row.get(name)) for name in (loss, *names))] for row in rows)
        return grid(title, ["sample", *(tag("th", name, class_="number") for name in (loss, *names))], lines)
    has_pair = {"prediction", "target"} <= {*names}
    note = tag("p", "target → prediction, and the probability p of it", class_="note") if has_pair else None
    if has_pair:
        names = [name for name in names if name not in _PAIR and not _says_whether_right(rows, name)]
    cards = []
    for row in rows:
        file = pictures.get(_picture_name(row))
        image = embedder.image(file, f"sample {_title(row)}") if file else None
        facts = (join(tag("dt", _breakable(name)), tag("dd", _shown(row.get(name)))) for name in names)
        heading = tag("p", tag("span", _title(row)), tag("span", _shown(row.get(loss)), title=loss))
        pair = _show_pair(row) if has_pair else None
        cards.append(tag("li", image, heading, pair, tag("dl", *facts) if names else None))
    return join(note, tag("ul", *cards, class_="cards"))


def _show_pair(row: Row) -> Html:
    """Return a line such as `8 → 3  p 0.41`, with the names of the classes if they have some."""
    probability = _number(row.get(_PROBABILITY))
    shown = None if math.isnan(probability) else tag("span", f"p {probability:.2f}", class_="dim")
    target, prediction = (row.get(name + _NAME) or _shown(row.get(name)) for name in ("target", "prediction"))
    return tag("p", tag("span", f"{target} → {prediction}"), shown)


def _says_whether_right(rows: Sequence[Row], name: str) -> bool:
    """Return whether a column is 1 where the prediction is the target and 0 elsewhere, such as the accuracy."""
    return all(_number(row.get(name)) == (row.get("prediction") == row.get("target")) for row in rows)


def _picture_name(row: Row) -> str:
    index = row.get("index", "")
    return f"{int(index):06d}" if index.isascii() and index.isdecimal() and len(index) < 20 else ""


def _breakable(name: str) -> Html:
    """Return a name that may continue in the next line after a dot or underscore."""
    return join(*(part if part not in "._" else join(part, tag("wbr")) for part in re.split(r"([._])", name) if part))


def _title(row: Row) -> str:
    return row.get("name") or f"#{row.get('index', '?')}"


def _cell(text: str | None) -> Html:
    return tag("td", text, class_="number") if math.isnan(_number(text)) else number_cell(_number(text))


def _shown(text: str | None) -> str:
    if not text or text.isdecimal() or math.isnan(_number(text)):  # whole numbers may be classes
        return text or "—"
    return format_number(_number(text))


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def loss_names(settings: dict[str, object]) -> list[str]:
    """Return the names of the losses in a configuration, in its order."""
    return [*dict.fromkeys(_names_below(settings, "model.loss."))]


def _names_below(settings: dict[str, object], prefix: str) -> Iterator[str]:
    for path in settings:
        if path.startswith(prefix):
            yield path.removeprefix(prefix).partition(".")[0]

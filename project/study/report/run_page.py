"""The page of a run."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from project.study.events import Curves, read_curves
from project.study.report.configuration import show_configuration
from project.study.report.downsampling import drop_copies, pack_curves
from project.study.report.embedding import Embedder, describe_epoch, list_progress, spread
from project.study.report.evaluation import metric_tiles, show_evaluations
from project.study.report.html import Html, join, page, section, tag
from project.study.report.pieces import (
    details,
    format_number,
    format_seconds,
    grid,
    number_cell,
    problem,
    read_text,
    tiles,
)
from project.study.report.samples import loss_names
from project.study.report.surroundings import show_diffs, show_environment, show_log, show_origin, show_speed
from project.study.runs import RunRow, read_run

_MAX_CURVES = 500
_MAX_SLIDERS, _MAX_PICTURES = 6, 40  # directories of pictures by epoch, and pictures of each
_MAX_PROBLEMS = 20


def run_page(run: Path) -> str:
    """Return the page of a run.

    Files that are missing or damaged are said on the page.

    Example::

        Path("report.html").write_text(run_page(Path("experiments/digits")))
    """
    row, problems = read_run(run), list[str]()
    curves = drop_copies(read_curves(run, problems))
    embedder = Embedder(problems)
    data: dict[str, Any] = {"kind": "run", "mark": row.best.step if row.best else None, "pictures": {}}
    shown = dict(list(curves.items())[:_MAX_CURVES])
    data |= pack_curves(shown)
    log = read_text(run / "log.txt", problems) or ""
    sections = [
        *show_evaluations(row, loss_names(row.settings), embedder),
        *_show_progress(run, embedder, data["pictures"]),
        show_configuration(run, row.settings, problems),
        show_speed(row, log),
        show_environment(run, problems),
        show_log(log),
        show_diffs(run, problems),
    ]
    embedder.report_omissions()
    return page(
        run.resolve().name,
        data,
        _show_header(run, row, show_origin(run, problems)),
        tag("div", _show_problems([*dict.fromkeys([*row.problems, *problems])]), id="problems", data_live=True),
        _show_curves(shown, len(curves)),
        tag("div", *sections, id="sections", data_live=True),
    )


def _show_header(run: Path, row: RunRow, origin: Html | None) -> Html:
    facts: list[tuple[str, object]] = []
    if row.best:
        facts.append((f"best {row.best.monitor}", format_number(row.best.value)))
        facts.append(("at step", join(row.best.step, " ", tag("small", f"epoch {row.best.epoch}"))))
    facts += [(name, format_number(value)) for name, value in metric_tiles(row.results)]
    if row.seconds is not None:
        facts.append(("training time", format_seconds(row.seconds)))
    if row.steps is not None:
        facts.append(("steps", row.steps))
    return tag(
        "header",
        tag("h1", tag("span", run.resolve().name), tag("span", row.state, class_=f"state {row.state}")),
        tag("p", row.reason, class_="reason") if row.reason else None,
        tag("p", run.resolve(), class_="path"),
        origin,
        tiles(facts) if facts else None,
        id="overview",
        data_live=True,
    )


def _show_problems(problems: list[str]) -> Html:
    left_out = len(problems) - _MAX_PROBLEMS
    more = problem(f"{left_out} more problems are left out") if left_out > 0 else None
    return join(*map(problem, problems[:_MAX_PROBLEMS]), more)


def _show_curves(curves: Curves, count: int) -> Html:
    if not curves:
        return section("Curves", tag("p", "No values were logged yet.", class_="note"))
    right = {"class_": "number"}
    head = ["curve", *(tag("th", name, **right) for name in ("last", "lowest", "highest", "points"))]
    rows = ([tag("th", name, scope="row"), *_summarize(values)] for name, (_, values, _) in curves.items())
    table = grid("values of curves", head, rows)
    more = problem(f"{count - len(curves)} curves are left out") if count > len(curves) else None
    return section(
        "Curves",
        tag("div", class_="controls", id="controls"),
        tag("div", class_="charts", id="charts"),
        more,
        tag("div", details(f"values of {len(curves)} curves", table), id="values", data_live=True),
        note="drag to zoom, double-click to zoom out",
    )


def _summarize(values: "np.ndarray[Any, Any]") -> list[Html]:
    finite = values[np.isfinite(values)]
    last = float(values[-1]) if len(values) else math.nan
    lowest, highest = (float(finite.min()), float(finite.max())) if len(finite) else (math.nan, math.nan)
    return [number_cell(last), number_cell(lowest), number_cell(highest), number_cell(len(values), str(len(values)))]


def _show_progress(run: Path, embedder: Embedder, packed: dict[str, Any]) -> list[Html]:
    """Return a section for each directory of pictures by epoch; `packed` receives the pictures for their sliders."""
    sections = []
    groups = list_progress(run)
    for name, files in [*groups.items()][:_MAX_SLIDERS]:
        share = embedder.bytes_left // (2 * min(len(groups), _MAX_SLIDERS))
        before = embedder.bytes_left
        last = embedder.embed(files[-1])
        if last is None:
            continue
        count = min(_MAX_PICTURES, max(1, share // max(1, before - embedder.bytes_left)))
        chosen = spread(files, count)
        embedded = [(describe_epoch(file), embedder.embed(file)) for file in chosen[:-1]]
        pictures = [*((text, uri) for text, uri in embedded if uri), (describe_epoch(files[-1]), last)]
        packed[name] = [{"name": text, "source": uri} for text, uri in pictures]
        caption = tag("figcaption", pictures[-1][0])
        image = tag("img", src=last, alt=f"{name}, {pictures[-1][0]}", class_="wide")
        note = f"{len(chosen)} of {len(files)} epochs" if len(chosen) < len(files) else ""
        figure = tag("figure", image, caption, class_="slider", data_name=name)
        sections.append(section(f"Pictures of {name} by epoch", figure, note=note))
    if len(groups) > _MAX_SLIDERS:
        embedder.problems.append(f"pictures of {len(groups) - _MAX_SLIDERS} more directories in progress are left out")
    return sections

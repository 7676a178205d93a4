"""The page of replayed steps."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from project.core.errors import count_of
from project.core.files import write_text
from project.core.installation import COMMAND
from project.study.replay.page.steps import describe_place, gradient_norm, main_loss, show_step
from project.study.replay.page.tables import Tables, show_number
from project.study.replay.page.verdict import WORDS, show_verdict
from project.study.replay.step_record import LoggedComparison, StepRecord
from project.study.report import html
from project.study.report.embedding import Embedder
from project.study.report.html import Html, join, page, section, tag
from project.study.report.pieces import grid, number_cell, problem

FILE = "replay.html"
_HERE, _REPORT = Path(__file__).parent, Path(html.__file__).parent
_FILES = (
    *(_REPORT / name for name in ("page.css", "run.css", "dom.js", "table.js")),
    *(_HERE / name for name in ("replay.css", "tables.js", "replay.js")),
)
_MOST_ROWS, _FEWEST_ROWS = 100_000, 100  # of a table; fewer where there are several steps
_MOST_CARDS, _FEWEST_CARDS = 18, 6  # samples of a step with pictures


def write_page(
    directory: Path,
    run: Path,
    start: str,
    records: Sequence[StepRecord],
    comparison: LoggedComparison,
    trusts: bool = False,
) -> Path:
    """Write replay.html, one file that needs no server and no other file but the pictures that it links to.

    Args:
        directory: where it is written; the pictures of the records are in it.
        run: the run directory.
        start: what the replay started from, such as `checkpoints/last.ckpt, after step 80`.
        records: the steps.
        comparison: what the run and the replay logged.
        trusts: whether the run was trusted (`--trust`), as its commands must do again.

    Returns:
        The file.
    """
    file = directory / FILE
    write_text(file, replay_page(directory, run, start, records, comparison, trusts))
    return file


def replay_page(
    directory: Path,
    run: Path,
    start: str,
    records: Sequence[StepRecord],
    comparison: LoggedComparison,
    trusts: bool = False,
) -> str:
    """Return the text of the page; see `write_page`."""
    problems: list[str] = []
    embedder, tables = Embedder(problems), Tables(max(_FEWEST_ROWS, _MOST_ROWS // max(1, len(records))))
    num_cards = max(_FEWEST_CARDS, _MOST_CARDS // max(1, len(records)))
    steps = [show_step(record, directory, embedder, num_cards, tables) for record in records]
    embedder.report_omissions()
    title = f"{_steps(records)} of {run.resolve().name}"
    return page(
        title,
        {"kind": "replay", "tables": tables.data},
        _show_header(title, run, start, comparison),
        tag("div", *show_verdict(comparison), class_="verdict"),
        tag("div", *map(problem, problems[:20])),
        _show_overview(records) if len(records) > 1 else None,
        *steps,
        _show_commands(run, records, trusts),
        files=_FILES,
    )


def _show_header(title: str, run: Path, start: str, comparison: LoggedComparison) -> Html:
    verdict = comparison.verdict
    again = f"; {count_of(max(0, comparison.last - comparison.first), 'step')} trained again"
    return tag(
        "header",
        tag("h1", tag("bdi", title), tag("span", WORDS[verdict], class_=f"state {verdict}")),
        tag("p", tag("bdi", run.resolve()), class_="path"),
        tag("p", "started from ", tag("bdi", start), again, class_="path"),
    )


def _show_overview(records: Sequence[StepRecord]) -> Html:
    """Return a table of the steps, each a link to it."""
    rows = []
    for record in records:
        state = "skipped" if record.skipped else "not finite" if record.non_finite else ""
        numbers = (main_loss(record), gradient_norm(record))
        rows.append(
            [
                tag("th", tag("a", record.step, href=f"#step-{record.step}"), scope="row", class_="number"),
                describe_place(record),
                *(number_cell(number, show_number(number)) for number in numbers),
                tag("td", state, class_="mark"),
            ]
        )
    right = {"class_": "number", "scope": "col"}
    head = [
        tag("th", "step", **right),
        "place",
        tag("th", "loss", **right),
        tag("th", "gradient norm", **right),
        "state",
    ]
    table = tag("div", grid("steps", head, rows), class_="overview")
    return section(
        "Steps", table, tag("nav", id="steps", aria_label="steps"), note="← and → show the previous and next"
    )


def _show_commands(run: Path, records: Sequence[StepRecord], trusts: bool) -> Html:
    """Return the command lines that replay the steps."""
    if not records:
        return section("Again", problem("no step was replayed"))
    first, quoted = records[0].step, shlex.quote(str(run))
    several = f" --steps {len(records)}" if len(records) > 1 else ""
    trust, argument = (" --trust", ", trust=True") if trusts else ("", "")
    call = f"{COMMAND} replay {quoted} --step {first}{trust}"
    lines = (
        ("this page", f"{call}{several}"),
        ("with the debugger in training_step", f"{call} --pdb"),
        ("in Python", f"import {_package()}\nreplay = {_package()}.replay({str(run)!r}, {first}{argument})"),
    )
    blocks = (
        join(tag("h3", name), tag("div", tag("pre", tag("code", text), tabindex=0, class_="command")))
        for name, text in lines
    )
    return section("Again", tag("div", *blocks, class_="commands"))


def _steps(records: Sequence[StepRecord]) -> str:
    if not records:
        return "No step"
    first, last = records[0].step, records[-1].step
    return f"Step {first}" if first == last else f"Steps {first} to {last}"


def _package() -> str:
    return __name__.partition(".")[0]

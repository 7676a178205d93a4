"""Whether the replay equals the run, in words and as a table."""

from collections.abc import Iterator
from itertools import islice
from math import nan

from project.core.errors import shorten
from project.study.replay.page.tables import show_name
from project.study.replay.step_record import LoggedComparison
from project.study.report.html import Html, tag
from project.study.report.pieces import format_number, grid, problem

_MAX_DIFFERING, _MAX_NAMES = 20, 20
WORDS = {"equal": "replay equals the run", "differs": "replay differs from the run", "unproven": "unproven"}


def show_verdict(comparison: LoggedComparison) -> Iterator[Html]:
    """Yield what was compared, with the first values that differ in full precision."""
    steps = _describe_steps(comparison)
    count, compared = len(comparison.differing), comparison.compared
    if comparison.verdict == "unproven":
        yield tag(
            "p",
            f"Unproven: the run and the replay logged no value at the same step of {steps}, so nothing was compared. "
            "trainer.log_every_n_steps says how often a run logs.",
        )
    elif comparison.verdict == "equal":
        values = "The only value" if compared == 1 else f"All {compared} values"
        yield tag("p", f"{values} that the run logged at {steps} equal those of the replay, bit for bit.")
    else:
        yield problem(
            f"{count} of {compared} values that the run logged at {steps} differ from those of the replay: what is "
            "shown below is not what happened in the run. Code, machine, threads, package versions or data have "
            "changed."
        )
        yield _show_differing(comparison)
    if comparison.only_run:
        names = ", ".join(shorten(name, 100) for name in comparison.only_run[:_MAX_NAMES])
        more = len(comparison.only_run) - _MAX_NAMES
        yield tag(
            "p",
            "Logged by the run only, and not compared: ",
            tag("bdi", names),
            f" and {more} more" if more > 0 else "",
        )


def _show_differing(comparison: LoggedComparison) -> Html:
    rows = []
    for name, step, run, replay in islice(comparison.differing, _MAX_DIFFERING):
        relative = abs(run - replay) / abs(run) if run else nan
        rows.append(
            [
                tag("th", show_name(name), scope="row"),
                tag("td", step, class_="number"),
                *(
                    tag("td", repr(value), tag("br"), tag("small", value.hex()), class_="exact")
                    for value in (run, replay)
                ),
                tag("td", format_number(relative, 2), class_="number"),
            ]
        )
    right = {"class_": "number"}
    head = ["value", tag("th", "step", **right), "run", "replay", tag("th", "relative difference", **right)]
    more = len(comparison.differing) - _MAX_DIFFERING
    table = grid("values that differ", head, rows)
    return tag("div", table, tag("p", f"{more} more differ.", class_="note") if more > 0 else None)


def _describe_steps(comparison: LoggedComparison) -> str:
    first, last = comparison.first + 1, comparison.last
    return f"step {first}" if first == last else f"steps {first} to {last}"

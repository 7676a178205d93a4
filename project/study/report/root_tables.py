"""The tables of the page of many runs: groups, runs, and the settings that mattered."""

import math
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from project.study.columns import ABSENT, is_number
from project.study.grouping import COUNTED, Group, compare, describe_pairs
from project.study.planned import describe_unstarted
from project.study.report.html import Html, section, tag
from project.study.report.pieces import details, format_seconds, number_cell, problem, scrolling, tiles
from project.study.report.runs_view import RunsView
from project.study.runs import RunRow
from project.study.table.values import show_interval, show_summary

_MAX_PROBLEMS = 10
_MANY = 14  # rows, from which on a table scrolls by itself


def show_header(view: RunsView) -> Html:
    """Return the name of a directory, how its runs ended, and the best of them."""
    counts = view.state_counts()
    seconds = sum(row.seconds or 0.0 for row in view.rows)
    pairs: list[tuple[str, object]] = [("runs", len(view.rows))]
    pairs += [*counts.items()] if len(counts) > 1 else []
    pairs += [("groups", len(view.groups))] if len(view.groups) > 1 else []
    pairs += [("training, all runs", format_seconds(seconds))] if seconds else []
    best, note = view.best_group(view.target) if view.target else None, None
    if view.target and best is not None:
        word = "highest" if view.mode(view.target) == "max" else "lowest"
        mean = show_summary(view.groups[best].summary(view.target), len(view.groups[best].runs))
        pairs.append((f"{word} {view.target.removeprefix('best ')}", mean))
        note = None if len(view.groups) < 2 else tag("p", f"best group: {view.group_names[best]}", class_="note")
    return tag(
        "header",
        tag("h1", view.root.name or view.root),
        tag("p", view.root.resolve(), class_="path"),
        tag("div", tiles(pairs), note, *_show_others(view), id="overview", data_live=True),
    )


def _show_others(view: RunsView) -> list[Html]:
    """Return what could not be read, how many runs have not started, and which are in no mean."""
    texts = [f"{view.name(row)}: {text}" for row in view.rows for text in row.problems]
    found = [problem(text) for text in texts[:_MAX_PROBLEMS]]
    found += [problem(f"{len(texts) - _MAX_PROBLEMS} more problems")] if len(texts) > _MAX_PROBLEMS else []
    found += map(problem, describe_unstarted(view.rows))
    others = [row for row in view.rows if row.state not in COUNTED]
    if not others:
        return found
    states = [row.state for row in others]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    rows = [
        tag("tr", tag("th", view.name(row), scope="row"), tag("td", _state(row)), tag("td", row.reason or "—"))
        for row in others
    ]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in ("run", "state", "reason"))))
    table = scrolling("runs that are not in means", tag("table", head, tag("tbody", *rows), class_="others"))
    return [*found, details(f"Not in the means below: {counts}", table, is_open=len(others) <= 6)]


def show_groups(view: RunsView) -> Html | None:
    """Return means of groups, and differences to the first; None if there are many groups of one run."""
    is_single = all(len(group.runs) + len(group.others) < 2 for group in view.groups)
    if not view.groups or (is_single and len(view.groups) > _MANY):
        return None
    best = {metric: view.best_group(metric) for metric in view.metrics}
    compares = view.target is not None and 1 < len(view.groups) <= _MANY
    rights = [_are_numbers(view, key) for key in view.by]
    heads = [_head(view.names[key], key, right) for key, right in zip(view.by, rights, strict=True)] or [_head("group")]
    heads += [_head(name, is_right=True) for name in ("runs", *view.metrics)]
    heads += [_head(f"Δ {view.target}", is_right=True)] if compares else []
    rows = []
    for index, group in enumerate(view.groups):
        settings = [*zip(group.values.values(), view.group_texts(group), rights, strict=True)] or [
            ("all", "all", False)
        ]
        cells = [_setting("th", *settings[0], scope="row", data_group=index)]
        cells += [*(_setting("td", *each) for each in settings[1:]), _count(group)]
        for metric in view.metrics:
            summary = group.summary(metric)
            text = show_summary(summary, len(group.runs))
            cells.append(number_cell(summary.mean, text, data_best=best[metric] == index))
        cells += [_difference(view, group)] if compares else []
        rows.append(tag("tr", *cells))
    note = "mean ± standard deviation of finished runs"
    if compares:
        paired = f", {describe_pairs(view.repetitions, view.names)}, 95 % interval" if view.repetitions else ""
        note += f"; Δ: difference to {view.group_names[0]}{paired}"
    return section("Groups", _table("groups", heads, rows), note=note)


def show_runs(view: RunsView, is_linked: bool) -> Html:
    """Return a table with a line for each run.

    Args:
        view: the runs.
        is_linked: whether the names of runs lead to their pages, where there are any.
    """
    rights = {key: _are_numbers(view, key) for key in view.keys}
    heads = [_head("run"), _head("state"), *(_head(view.names[key], key, right) for key, right in rights.items())]
    heads += [_head(name, is_right=True) for name in (*view.metrics, "time")]
    rows = []
    for index, (row, values) in enumerate(zip(view.rows, view.values, strict=True)):
        name = view.name(row)
        has_page = is_linked and (row.path / "report.html").is_file()
        shown = tag("a", name, href=f"./{quote(os.fsencode(name))}/report.html") if has_page else name
        cells = [tag("th", shown, scope="row", data_run=index), tag("td", _state(row))]
        cells += [
            _setting("td", row.settings.get(key, ABSENT), view.texts[key][row.path], right)
            for key, right in rights.items()
        ]
        cells += [number_cell(values.get(metric)) for metric in view.metrics]
        rows.append(tag("tr", *cells, number_cell(row.seconds, format_seconds(row.seconds))))
    return section("Runs", _table("runs", heads, rows), note="press a heading to sort")


def show_importance(view: RunsView) -> Html | None:
    """Return how much of the target's variance goes along with each setting; None with too few runs."""
    if not view.importance:
        return None
    rows = []
    for each in view.importance:
        bar = tag("div", class_="share", style=f"width: {each.share * 100:.1f}%")
        correlation = None if each.correlation is None else f"{each.correlation:+.2f}"
        cells = [
            tag("td", bar),
            number_cell(each.share, f"{each.share:.0%}"),
            number_cell(each.chance, f"{each.chance:.0%}"),
            number_cell(each.correlation, correlation),
        ]
        rows.append(tag("tr", tag("th", view.names[each.key], scope="row", title=each.key), *cells))
    heads = [tag("th", "setting", scope="col"), tag("th", "share", scope="col", colspan=2)]
    heads += [tag("th", name, scope="col", class_="number") for name in ("by chance", "rank correlation")]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), class_="importance")
    count = sum(score is not None and math.isfinite(score) for score in view.scores)
    text = (
        f"Share of the variance of the ranks of {view.target} among {count} runs that lies between the values of a "
        "setting, each setting for itself, and the share that a setting without effect exceeds by chance in one of 20 "
        "cases. It says which settings went along with the result in these runs, not that they caused it; interactions "
        "are not seen."
    )
    return section("What mattered", scrolling("what mattered", table), tag("p", text, class_="note"))


def _table(name: str, heads: Sequence[Html], rows: Sequence[Html]) -> Html:
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows), id=name)
    return scrolling(f"table of {name}", table, class_="scroll tall" if len(rows) > _MANY else "scroll")


def _head(name: str, title: str | None = None, is_right: bool = False) -> Html:
    button = tag("button", name, type="button")
    return tag("th", button, scope="col", title=title, class_="number" if is_right else None)


def _setting(name: str, value: Any, text: str, is_right: bool, **attributes: object) -> Html:
    exact, title = (repr(value) if is_number(value) else None), str(value)
    title_shown = None if value is ABSENT or value is None or title == text else title
    return tag(name, text, title=title_shown, class_="number" if is_right else None, data_v=exact, **attributes)


def _are_numbers(view: RunsView, key: str) -> bool:
    """Return whether a setting is a number, or null, in all runs that have it."""
    values = [row.settings[key] for row in view.rows if key in row.settings]
    return all(value is None or is_number(value) for value in values)


def _state(row: RunRow) -> Html:
    return tag("span", row.state, class_=f"state {row.state}", title=row.reason)


def _count(group: Group) -> Html:
    text = f"{len(group.runs)}" + (f" of {len(group.runs) + len(group.others)}" if group.others else "")
    return number_cell(len(group.runs), text)


def _difference(view: RunsView, group: Group) -> Html:
    baseline = view.groups[0]
    if group is baseline:
        return number_cell(0, "baseline")
    interval = compare(group, baseline, view.target or "", view.repetitions).interval
    text = show_interval(interval, len(group.runs))
    return number_cell(interval.mean, text, title=f"{interval.n} pairs", data_clear=interval.low * interval.high > 0)

"""Whether the chain of a run's states contradicts itself, or summary.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from project.core.errors import ConfigError
from project.core.run.state_chain import STATES, Link, read_chain
from project.core.run.summary import FINISHED, SUMMARY
from project.study.files import check_regular, parse_json, read_file

_MAX_BYTES = 2**28  # of a chain: a million links


def read_links(run: Path, problems: list[str]) -> list[Link]:
    """Return the chain of a run; none, and a problem, if it is damaged."""
    try:
        if (run / STATES).exists():
            check_regular(run / STATES, _MAX_BYTES)
        return read_chain(run)
    except OSError as error:
        problems.append(f"{run / STATES} cannot be read: {error.strerror}")
    except ConfigError as error:
        problems.append(str(error))
    return []


def check_chain(run: Path, links: Sequence[Link], is_fork: bool) -> list[str]:
    """Return what is wrong with the chain of a run.

    Args:
        run: the run directory.
        links: its chain.
        is_fork: whether it begins with a link of another run, the link before which is not known.
    """
    problems = []
    for number, link in enumerate(links, 1):
        previous = links[number - 2] if number > 1 else None
        if not link.follows(previous) and not (is_fork and previous is None):
            what = "the line before it" if previous else "the start of the run"
            problems.append(f"line {number} of {STATES} (step {link.step}) does not follow {what}")
    summary = read_summary(run)
    if not summary or ("head" not in summary and not links):
        return problems  # of an older version
    named, heads = summary.get("head"), [link.head() for link in links]
    if summary.get("state") == FINISHED:
        is_right = named == (heads[-1] if heads else None)
    else:  # it is not written when a link is: that of a run that is training, or was killed, may be older
        is_right = named is None or named in heads
    if not is_right:
        problems.append(f"the head in {SUMMARY} is not the last link of {STATES}")
    return problems


def read_summary(run: Path) -> dict[str, Any]:
    """Return summary.json; an empty dict if there is none, or it cannot be read."""
    try:
        value = parse_json(read_file(run / SUMMARY))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{run / SUMMARY} cannot be read: {error}") from error
    return value if isinstance(value, dict) else {}

"""Contradictions in a chain: each changed, removed or moved line is found."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from project.core.run.state_chain import Link
from project.study.verify.chain import check_chain
from tests.core.run.test_state_chain import chain

LINKS = chain("a", "b", "c", "d")
HEAD = "the head in summary.json is not the last link of states.jsonl"


def check(run: Path, links: list[Link], state: str = "finished", head: Link | None = LINKS[-1]) -> list[str]:
    (run / "summary.json").write_text(json.dumps({"state": state, "head": head and head.head()}))
    return check_chain(run, links, is_fork=False)


def wrong(number: int, step: int, what: str = "the line before it") -> str:
    return f"line {number} of states.jsonl (step {step}) does not follow {what}"


START = "the start of the run"
CHANGES: dict[str, tuple[Callable[[list[Link]], list[Link]], list[str]]] = {
    "none": (lambda links: links, []),
    "first removed": (lambda links: links[1:], [wrong(1, 2, START)]),
    "one removed": (lambda links: [links[0], *links[2:]], [wrong(2, 3)]),
    "last removed": (lambda links: links[:-1], [HEAD]),
    "all removed": (lambda links: [], [HEAD]),
    "reordered": (lambda links: [links[0], links[2], links[1], links[3]], [wrong(2, 3), wrong(3, 2), wrong(4, 4)]),
    "one twice": (lambda links: [links[0], links[0], *links[1:]], [wrong(2, 1)]),
    "digest changed": (
        lambda links: [links[0], Link(2, 2, "x", links[1].link), *links[2:]],
        [wrong(2, 2)],
    ),
    "step changed": (lambda links: [*links[:3], Link(5, 4, "d", links[3].link)], [wrong(4, 5), HEAD]),
    "one changed, and linked": (
        lambda links: (
            [links[0], changed := Link.after(links[0], 2, 2, "x"), *links[2:]][:2] + [changed, *links[2:]][1:]
        ),
        [wrong(3, 3)],
    ),
    "all linked again": (lambda links: chain("a", "x", "c", "d"), [HEAD]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_of_the_chain_is_found(change: str, tmp_path: Path) -> None:
    apply, problems = CHANGES[change]
    assert check(tmp_path, apply(LINKS)) == problems


def test_chain_of_a_fork_begins_with_a_link_of_its_origin(tmp_path: Path) -> None:
    assert check_chain(tmp_path, LINKS[2:], is_fork=True) == []
    assert check_chain(tmp_path, LINKS[2:], is_fork=False) == [wrong(1, 3, START)]
    assert check_chain(tmp_path, [LINKS[1], LINKS[3]], is_fork=True) == [wrong(2, 4)]


def test_summary_of_a_run_that_has_not_finished_may_be_older(tmp_path: Path) -> None:
    """It is not written when a link is; of an older version, it has no head."""
    for head in (LINKS[1], LINKS[3], None):
        assert check(tmp_path, LINKS, "running", head) == []
    assert check(tmp_path, LINKS[:2], "stopped", LINKS[3]) == [HEAD]
    assert check(tmp_path, LINKS, "finished", LINKS[2]) == [HEAD]
    assert check(tmp_path, LINKS, "finished", None) == [HEAD]
    assert check(tmp_path, [], "finished", None) == []
    (tmp_path / "summary.json").write_text('{"state": "finished"}')
    assert check_chain(tmp_path, [], is_fork=False) == []
    assert check_chain(tmp_path, LINKS, is_fork=False) == [HEAD]


@pytest.mark.parametrize("name", ["step", "epoch", "link"])
def test_each_value_of_the_head_is_compared(name: str, tmp_path: Path) -> None:
    head = LINKS[-1].head()
    (tmp_path / "summary.json").write_text(json.dumps({"state": "finished", "head": head | {name: 7}}))
    assert check_chain(tmp_path, LINKS, is_fork=False) == [HEAD]

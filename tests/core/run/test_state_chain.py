"""The chain of digests: each planned state at the end of an epoch, also of a run that was killed or forked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import list_by_step
from project.core.run.state_chain import STATES, Link, cut_chain, read_chain
from project.core.run.state_digest import state_digest
from tests.conftest import Cli

RUN: dict[str, Any] = {
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "trainer": {"max_epochs": 3, "limit_train_batches": 2},
    "data": {"val": None},
}


def steps(run: Path) -> list[int]:
    return [link.step for link in read_chain(run)]


def test_killed_resumed_and_forked_runs_have_the_same_chain(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Killed within a line; between a line and its checkpoint; after a power failure that lost all lines."""
    config, run = tiny(RUN), tmp_path / "experiments/tiny"
    assert cli("fit", "--config", config).code == 0
    text = (run / STATES).read_text()
    links = read_chain(run)
    assert [(link.step, link.epoch) for link in links] == [(2, 1), (4, 2), (6, 3)]
    assert [link.follows(previous) for link, previous in zip(links, [None, *links], strict=False)] == [True] * 3
    files = {step: path for path, step in list_by_step(run / "checkpoints").items()}
    for step, path in files.items():
        content = torch.load(path, weights_only=True)
        last = [link for link in links if link.step <= step][-1:]
        assert [link.link for link in last] == [content["run_header"]["link"]["link"]] * len(last) if last else True
        assert step % 2 or state_digest(content) == last[0].digest
    lines = text.splitlines(keepends=True)
    for kept, step in (([*lines, '{"step": 6, "ep'], 3), ([], 4)):
        (run / STATES).write_text("".join(kept))
        ran = cli("fit", "--resume", str(files[step]), "--name", "tiny")
        assert ran.code == 0, ran.err
        expected = text if kept else "".join(lines[1:])  # all earlier lines were lost
        assert (run / STATES).read_text() == expected
        assert json.loads((run / "summary.json").read_text())["head"] == {"step": 6, "epoch": 3, "link": links[-1].link}
        assert f"digest of all states until step 6: {links[-1].link}" in ran.err
        (run / STATES).write_text(text)
    assert cli("fit", "--resume", str(files[5]), "--name", "fork").code == 0
    assert (tmp_path / "experiments/fork" / STATES).read_text() == "".join(lines[1:])


@pytest.mark.parametrize(
    ("over", "linked"),
    [
        ({"checkpoint": {"save_time": 1e-9, "every_n_epochs": 2}}, [4, 6]),
        pytest.param({"checkpoint": {"every_n_epochs": 0}, "trainer": {"max_steps": 5}}, [5], marks=pytest.mark.slow),
        pytest.param({"trainer": {"max_steps": 5}}, [2, 4, 5], marks=pytest.mark.slow),
    ],
)
def test_states_are_linked_by_the_settings_only(
    over: dict[str, Any], linked: list[int], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Not those of checkpoints that are saved by time."""
    assert cli("fit", "--config", tiny(RUN), "--config", tiny({"base": []} | over, "over.yaml")).code == 0
    assert steps(tmp_path / "experiments/tiny") == linked


def chain(*digests: str) -> list[Link]:
    links: list[Link] = []
    for number, digest in enumerate(digests, 1):
        links.append(Link.after(links[-1] if links else None, number, number, digest))
    return links


def write(run: Path, links: list[Link]) -> None:
    (run / STATES).write_text("".join(json.dumps(vars(link)) + "\n" for link in links))


def test_chain_is_cut_to_the_link_of_the_checkpoint(tmp_path: Path) -> None:
    """With a copy in the archive; the chain of an older version's checkpoint begins again."""
    links = chain("a", "b", "c")
    write(tmp_path, links)
    (archive := tmp_path / "archive").mkdir()
    cut_chain(tmp_path, vars(links[1]), archive)
    assert read_chain(tmp_path) == links[:2]
    assert read_chain(archive) == links
    cut_chain(tmp_path, {}, None)
    assert not (tmp_path / STATES).exists()


def test_damaged_chain_does_not_stop_a_resume(tmp_path: Path, messages: list[str]) -> None:
    links = chain("a", "b")
    (tmp_path / STATES).write_text("nonsense\n")
    cut_chain(tmp_path, vars(links[1]), None)
    assert read_chain(tmp_path) == links[1:]
    assert messages[0].startswith("the digests of earlier states are lost: ")


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", '{"step": "1", "epoch": 1, "digest": "", "link": ""}', '{"step": true, "epoch": 1}']
)
def test_damaged_chain_is_reported(line: str, tmp_path: Path) -> None:
    (tmp_path / STATES).write_text(f"{line}\n")
    with pytest.raises(ConfigError, match="is damaged in line 1: "):
        read_chain(tmp_path)


def test_each_value_of_a_line_is_linked() -> None:
    first, second = chain("a", "b")
    assert second.follows(first)
    for change in ({"step": 3}, {"epoch": 3}, {"digest": "c"}, {"link": "c"}):
        assert not Link(**(vars(second) | change)).follows(first)
    assert not second.follows(None)
    assert not first.follows(second)


def test_full_disk_ends_the_run_as_a_checkpoint_does(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project.core.run import state_chain

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_chain, "_append", fail)
    ran = cli("fit", "--config", tiny(RUN))
    assert ran.code == 1
    assert "No space left on device; earlier checkpoints are intact" in ran.err
    assert "Traceback" not in ran.err

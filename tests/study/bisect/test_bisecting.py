"""Injected differences are named by step and tensor; equal runs are called equal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.cli.main import main
from project.core.config import trust
from project.core.errors import ConfigError
from project.study.bisect.bisecting import Answer, bisect_runs, common_start
from project.study.bisect.process import ReplayFailed, Request
from tests.conftest import slow_except
from tests.study.bisect.components import Branching
from tests.study.bisect.injections import KINDS, injected, losses_of, replay_here, train

ALL: dict[str, Any] = {"digests": {"all": 1}}


@pytest.fixture(scope="module", autouse=True)
def trusted() -> Iterator[None]:
    """Let runs name the components of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trust, "_PACKAGES", (*trust._PACKAGES, "tests"))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the run `a`, with digests of all tensors, and `logged`, with none."""
    root = tmp_path_factory.mktemp("runs")
    train(root, "a", **ALL)
    train(root, "logged", digests={"parameters": 0})
    return root


@pytest.fixture(scope="module")
def decayed(root: Path) -> Path:
    """Return a run with another setting."""
    return train(root, "decay", "--model.optimizer.weight_decay", "0.011")


def no_replay(request: Request) -> None:
    raise AssertionError("the files would have been enough")


def find(one: Path, two: Path) -> tuple[Answer, str]:
    answer = bisect_runs(one, two, replay=replay_here)
    return answer, "\n".join(answer.lines)


@pytest.mark.parametrize("kind", slow_except(KINDS, "data"))
def test_an_injected_difference_is_named(root: Path, kind: str) -> None:
    """With digests, the step and the tensor are found in the files alone; of a batch, a replay knows the samples."""
    with injected(kind, 0, losses_of(root / "a")) as injection:
        other = train(root, kind, callback=injection.callback, **ALL)
    replay = replay_here if kind in ("data", "order") else no_replay
    answer = bisect_runs(root / "a", other, replay=replay)
    assert answer.step == injection.step, answer.lines
    assert injection.name
    assert answer.names[0].startswith(injection.name)
    assert not answer.is_equal
    if kind in ("data", "order"):
        assert answer.departing == "B"
        assert "samples of that batch now: " in "\n".join(answer.lines)


def test_equal_runs_are_equal_and_it_says_what_was_compared(root: Path) -> None:
    answer = bisect_runs(root / "a", root / "logged", replay=no_replay)
    assert answer.is_equal
    assert answer.lines == [
        "equal in what both recorded: 90 values of 3 curves, 2 checkpoints (steps 24, 30)",
        f"A is {root / 'a'}, B is {root / 'logged'}",
        "a difference that vanished in between would not be seen; `digests: {all: 1}` records every step",
        "different (A -> B):",
        "  settings: digests.parameters: 10 -> 0",
        "  settings: digests.all: 1 -> 0",
    ]


@pytest.mark.slow
def test_setting_is_found_without_digests(root: Path, decayed: Path) -> None:
    """Both runs are trained again up to where their records differ, and both repeat what they recorded."""
    answer, text = find(root / "logged", decayed)
    assert (answer.step, answer.names[0]) == (1, "weight_decay 0.0"), text
    assert answer.departing == ""
    assert "A repeats its own record: " in text
    assert "B repeats its own record: " in text
    assert "settings: model.optimizer.weight_decay: 0.01 -> 0.011" in text


def test_run_that_departs_from_its_own_record_is_named(root: Path) -> None:
    """What nobody can compute again, such as a flipped bit, is bounded by the last equal checkpoint and the record."""
    with injected("parameter", 3, losses_of(root / "a")) as injection:
        other = train(root, "flipped", callback=injection.callback, digests={"parameters": 0})
    answer, text = find(root / "logged", other)
    assert answer.departing == "B", text
    assert answer.equal < injection.step <= answer.until  # type: ignore[operator]
    assert text.startswith(f"B departs from its own record at step {answer.until} (curve train/entropy, train/sum): ")
    assert "code, " in text


@pytest.mark.slow
def test_edited_code_is_found_without_digests(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is trained again by its own code."""
    with injected("code", 1, losses_of(root / "a")) as injection:
        other, edited = train(root, "edited"), Branching.edited_below

    def replay(request: Request) -> None:
        monkeypatch.setattr(Branching, "edited_below", edited if request.run.name == "edited" else 0.0)
        replay_here(request)

    answer = bisect_runs(root / "logged", other, replay=replay)
    assert (answer.step, answer.names[0], answer.departing) == (injection.step, "loss", "")


@pytest.mark.slow
def test_a_changed_checkpoint_is_found(root: Path, tmp_path: Path) -> None:
    """The curves are equal, and so are the replays: only the file is not what the run computes."""
    other = train(tmp_path, "changed")
    for file in other.glob("checkpoints/*_000030.ckpt"):
        content = torch.load(file, weights_only=True)
        content["moving_average"]["trained_state_dict"]["net.head.bias"][0] += 1e-6
        torch.save(content, file)
    answer, text = find(root / "logged", other)
    assert (answer.equal, answer.until, answer.departing) == (24, 30, "B"), text
    assert "B departs from its own record at step 30 (checkpoint weight net.head.bias)" in text


def test_fork_and_its_origin_have_a_common_start(root: Path, tmp_path: Path) -> None:
    first = next((root / "logged/checkpoints").glob("*_000024.ckpt"))
    segment = {
        "from_step": 24,
        "forked_from": {"run": str(root / "logged"), "checkpoint": str(first), "step": 24, "sha256": "0"},
    }
    for name, step in (("one", 24), ("two", 18)):
        (tmp_path / name).mkdir()
        content = segment | {"from_step": step, "forked_from": segment["forked_from"] | {"step": step}}  # type: ignore[operator]
        (tmp_path / name / "lineage.json").write_text(json.dumps([content]))
    assert common_start(root / "logged", tmp_path / "one") == 24
    assert common_start(tmp_path / "one", root / "logged") == 24
    assert common_start(tmp_path / "one", tmp_path / "two") == 18
    assert common_start(root / "a", tmp_path / "one") == 0


@pytest.mark.slow
def test_fork_is_compared_with_its_origin_from_its_first_step(root: Path) -> None:
    """Also with a fork of the same run that begins later: the first steps of that one are its origin's."""
    checkpoint = str(next((root / "logged/checkpoints").glob("*_000024.ckpt")))
    assert main(["fit", "--resume", checkpoint, "--name", "fork", "--model.optimizer.weight_decay", "0.02"]) == 0
    answer, text = find(root / "logged", root / "fork")
    assert (answer.step, answer.names[0]) == (25, "weight_decay 0.0"), text
    assert main(["fit", "--resume", checkpoint, "--name", "same"]) == 0
    answer, text = find(root / "logged", root / "same")
    assert answer.is_equal, text
    answer, text = find(root / "fork", root / "same")
    assert (answer.step, answer.names[0]) == (25, "weight_decay 0.0"), text


def test_replay_that_fails_is_a_mistake_with_its_reason(root: Path, decayed: Path) -> None:
    def fail(request: Request) -> None:
        raise ReplayFailed("its data is gone")

    with pytest.raises(ConfigError, match=r"logged cannot be replayed: its data is gone$"):
        bisect_runs(root / "logged", decayed, replay=fail)

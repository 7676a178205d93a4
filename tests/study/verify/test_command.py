"""`verify` finds what was changed in a run, and nothing in one that was not."""

import gc
import json
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from project.core.run.state_chain import STATES, read_chain
from project.study.events import read_curves
from project.study.replay import logged
from project.study.verify import verifying
from project.study.verify.comparing import StateComparison
from project.study.verify.known_states import Steps, read_record
from project.study.verify.verifying import verify_segments
from tests.conftest import slow_except
from tests.study.verify.conftest import Verify, change, checkpoint_of, forge


def contents(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_run_is_verified(verify: Verify, run: Path) -> None:
    """Each segment and each state; only verified.json is written, and says so."""
    before = contents(run)
    ran = verify(run, "--steps", "all")
    assert (ran.code, ran.err) == (0, "")
    head = read_chain(run)[-1].link
    assert re.sub(r"\d+\.\d s", "TIME", ran.out) == (
        f"chain: 4 links, the last of step 8: {head}\n"
        "training 8 steps again, 4 of 4 segments, all\n"
        "steps 1 to 2   TIME   equal: 1 state, 8 logged values\n"
        "steps 3 to 4   TIME   equal: 1 state, 8 logged values\n"
        "steps 5 to 6   TIME   equal: 1 state, 8 logged values\n"
        "steps 7 to 8   TIME   equal: 1 state, 8 logged values\n"
        "note: not compared: val/accuracy, val/cross_entropy, val/sum; "
        "validations are repeated only if the training depends on them\n"
        "verified: all 4 segments\n"
    )
    after = contents(run)
    verified = json.loads(after.pop("verified.json"))
    assert after == before
    assert (verified["verdict"], verified["steps"], verified["all_steps"]) == ("verified", 8, 8)
    assert [(each["first"], each["last"]) for each in verified["segments"]] == [(1, 2), (3, 4), (5, 6), (7, 8)]
    assert (verified["chain"], verified["missed_probability"]) == ({"links": 4, "head": head}, 0)
    assert verified["environment"]["packages"]["torch"]


def test_random_segments_are_verified_with_their_chance(verify: Verify, run: Path) -> None:
    (run / "verified.json").write_text("of an earlier verification")
    ran = verify(run, "--steps", "3")
    assert ran.code == 0, ran.err
    assert "training 2 steps again, 1 of 4 segments, chosen at random\n" in ran.out
    assert ran.out.endswith(
        "verified: 1 of 4 segments: a change in one segment would be missed with probability 75 %\n"
    )
    assert json.loads((run / "verified.json").read_text())["missed_probability"] == 0.75


def nudge(name: str, by: float) -> Callable[[dict[str, Any]], object]:
    """Return a function that moves a value of a tensor: of a weight, or of a moment of the first parameter."""

    def apply(content: dict[str, Any]) -> None:
        moments = content["optimizer_states"][0]["state"][0]
        tensor = moments[name] if name in moments else content["state_dict"][name]
        flat = tensor.view(-1)
        index = int(flat.abs().argmin())
        before = float(flat[index])
        flat[index] += by
        assert float(flat[index]) != before

    return apply


WEIGHT, MOMENT = "net.head.weight", "exp_avg"
CHANGES: dict[str, tuple[int, Callable[[dict[str, Any]], object], str]] = {
    "weight": (8, nudge(WEIGHT, 1e-7), f"state_dict.{WEIGHT} differs in 1 of 80 values, by 1e-07 at most"),
    "moment": (4, nudge(MOMENT, 1e-9), f"optimizer_states.0.state.0.{MOMENT} differs in 1 of 512 values, by 1e-09"),
    "scheduler": (
        4,
        lambda content: content["lr_schedulers"][0].update(last_epoch=3),
        "lr_schedulers.0.last_epoch is 3, and trained again 4",
    ),
    "removed": (
        4,
        lambda content: content["state_dict"].update(more=content["state_dict"][WEIGHT]),
        "state_dict.more is a tensor (10, 8) of float32, and trained again missing",
    ),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_changed_checkpoint_contradicts_the_chain(changed: str, run: Path) -> None:
    """It is found whichever segments are chosen."""
    step, apply, _ = CHANGES[changed]
    change(run, step, apply)
    name = checkpoint_of(run, step).relative_to(run).as_posix()
    assert read_record(run).problems == [f"{name} is not the state of step {step} in the chain"]


@pytest.mark.parametrize("changed", slow_except(CHANGES, "weight"))
@pytest.mark.usefixtures("cli")
def test_forged_state_is_found_by_the_segment_that_it_ends(changed: str, run: Path) -> None:
    """The forger has made the chain fit, so that nothing contradicts it."""
    step, apply, difference = CHANGES[changed]
    change(run, step, apply)
    forge(run)
    record = read_record(run)
    assert record.problems == []
    (verified,) = verify_segments(record, [Steps(step - 2, step)], trusts=False)
    assert len(verified.differences) == 1
    assert verified.differences[0].startswith(f"after step {step}: {difference}")


@pytest.mark.slow
def test_verdict_on_a_forged_state_from_which_no_run_could_go_on(verify: Verify, run: Path) -> None:
    step, apply, difference = CHANGES["removed"]
    change(run, step, apply)
    forge(run)
    ran = verify(run, "--steps", "all")
    assert (ran.code, ran.err) == (1, "")
    assert f"   differs after step {step}: {difference}" in ran.out
    assert "note: the next segment cannot be trained again: checkpoint " in ran.out
    assert ran.out.endswith("\nnot verified: 1 of 2 segments differ\n")
    verified = json.loads((run / "verified.json").read_text())
    assert verified["verdict"] == "differs"
    assert [bool(each["differences"]) for each in verified["segments"]] == [False, True]


def test_checkpoint_with_another_step_is_found(run: Path) -> None:
    change(run, 4, lambda content: content.update(global_step=5))
    assert read_record(run).problems == [f"checkpoints/{checkpoint_of(run, 4).name} contains the state after step 5"]


def test_contradictions_besides_the_states_are_found(run: Path) -> None:
    """A lineage without its first steps; a chain that is gone, said once; a summary that is gone is said."""
    lineage = (run / "lineage.json").read_text()
    (run / "lineage.json").write_text(lineage.replace('"from_step": 0', '"from_step": 3'))
    assert "lineage.json begins after step 3, but the run is no fork" in read_record(run).problems
    (run / "lineage.json").write_text(lineage)
    (run / STATES).unlink()
    assert read_record(run).problems == [
        "the head in summary.json is not the last link of states.jsonl",
        "checkpoints have links of a chain, but states.jsonl has none",
    ]
    (run / STATES).mkdir()
    assert read_record(run).problems[0] == f"{run / STATES} cannot be read: it is a directory"


def test_missing_summary_is_said(run: Path) -> None:
    (run / "summary.json").unlink()
    record = read_record(run)
    assert (record.problems, record.notes) == ([], ["the run has no summary.json, which would name the last link"])


@pytest.mark.slow
@pytest.mark.usefixtures("cli")
def test_verification_keeps_no_net_in_memory(run: Path) -> None:
    """Each segment has a net, its optimizers and a start; of a verification of many, only results are kept."""
    nets = weakref.WeakSet[torch.nn.Module]()

    class Kept(StateComparison):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            nets.add(pl_module)
            super().on_train_start(trainer, pl_module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifying, "StateComparison", Kept)
        verified = [*verify_segments(read_record(run), [Steps(0, 2), Steps(2, 4)], trusts=False)]
    gc.collect()
    assert [each.differences for each in verified] == [[], []]
    assert not [*nets]


def test_best_checkpoint_that_was_replaced_is_found(run: Path) -> None:
    """It is a link to a checkpoint that is named by its step in a run."""
    best = run / "checkpoints/best.ckpt"
    content = checkpoint_of(run, 8).read_bytes()
    change(run, 8, nudge(WEIGHT, 1e-7))
    best.unlink()
    best.write_bytes(checkpoint_of(run, 8).read_bytes())
    checkpoint_of(run, 8).unlink()
    checkpoint_of(run, 6).with_name("epoch_0003_step_000008.ckpt").write_bytes(content)
    assert "checkpoints/best.ckpt is not the state of step 8 in the chain" in read_record(run).problems


@pytest.mark.usefixtures("cli")
def test_changed_curve_is_found(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(directory: Path) -> Any:
        curves = read_curves(directory)
        if directory == run:
            curves["train/sum"][1][2] += 1e-6
        return curves

    monkeypatch.setattr(logged, "read_curves", changed)
    (verified,) = verify_segments(read_record(run), [Steps(2, 4)], trusts=False)
    (difference,) = verified.differences
    assert re.fullmatch(r"in step 3: train/sum is 2\.\d+, and trained again 2\.\d+", difference)


@pytest.mark.slow
def test_segments_without_milestones(verify: Verify, run: Path) -> None:
    """Digests are compared within a segment, and found to be changed."""
    for step in (2, 4):
        checkpoint_of(run, step).unlink()
    ran = verify(run, "--steps", "all")
    assert ran.code == 0, ran.out
    assert re.search(r"steps 1 to 6 .* equal: 3 states", ran.out)
    links = read_chain(run)
    changed = (run / STATES).read_text().replace(links[0].digest, links[1].digest)
    (run / STATES).write_text(changed)
    ran = verify(run, "--steps", "all")
    assert ran.code == 1
    assert "contradiction: line 1 of states.jsonl (step 2) does not follow the start of the run\n" in ran.out
    assert "differs after step 2: the state has another digest than in the chain" in ran.out


def test_run_of_which_nothing_is_left_but_contradictions(verify: Verify, run: Path) -> None:
    """Nothing is trained again."""
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    (run / STATES).write_text("damaged\n")
    ran = verify(run)
    assert (ran.code, ran.err) == (1, "")
    assert f"contradiction: {run / STATES} is damaged in line 1: " in ran.out
    assert f"contradiction: checkpoints/{checkpoint_of(run, 2).name} cannot be read: checkpoint " in ran.out
    assert "\ntraining 0 steps again, 0 of 0 segments, chosen at random\nnot verified: " in ran.out


@pytest.mark.slow
def test_run_that_still_trains(verify: Verify, run: Path) -> None:
    """Its summary is older than its chain, and the last line of the chain is not whole."""
    links = read_chain(run)
    summary = json.loads((run / "summary.json").read_text()) | {"state": "running", "head": links[1].head()}
    (run / "summary.json").write_text(json.dumps(summary))
    (run / STATES).write_text((run / STATES).read_text() + '{"step": 10')
    ran = verify(run)
    assert ran.code == 0, ran.out
    assert "note: the run is still training, or was killed: steps after its last recorded state" in ran.out


def test_another_machine_is_told(verify: Verify, run: Path) -> None:
    environment = json.loads((run / "environment.json").read_text())
    environment["packages"]["torch"] = "1.0"
    environment.pop("numerics", None)
    (run / "environment.json").write_text(json.dumps(environment))
    ran = verify(run, "--steps", "4")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("note: values may differ by rounding: torch was 1.0") == 1


def test_help(verify: Verify) -> None:
    ran = verify("--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("usage: python cli.py verify RUN [--steps N|all] [--trust]\n")
    assert "\noptions:\n  --steps " in ran.out

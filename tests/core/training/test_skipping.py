"""A step that is left out (`skip_steps`) changes nothing but the counts, and no other step is another one for it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from project.core.training.lightning_internals import names
from project.core.training.lightning_internals.names import Feature
from project.core.training.lightning_internals.skipping import SkippingStep
from tests.conftest import CONFIGS, Cli, Ran, slow_except
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import Leaves, curves, differing, flat, outcome
from tests.modules.test_gan import GAN

Fit = Callable[..., Path]
TRAINED = ("state_dict", "optimizer_states", "moving_average")  # in checkpoints
COUNTED = ("lr_schedulers", "loops", "epoch", "global_step")


class Hooks(pl.Callback):
    """Callback that records the steps, before they are done, in which its hooks are called, and counts its batches."""

    calls: list[tuple[str, int]] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.count = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        Hooks.calls.clear()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        Hooks.calls.append(("start", trainer.global_step))

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        Hooks.calls.append(("step", trainer.global_step))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        Hooks.calls.append(("validation", trainer.global_step))

    def on_train_batch_end(self, *_: Any) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


BASE: dict[str, Any] = RANDOM | {
    "model": RANDOM["model"] | {"ema": 0.9},
    "trainer": RANDOM["trainer"] | {"callbacks": [{"type": "tests.core.training.test_skipping.Hooks"}]},
}


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Fit:
    """Return a function that trains ten steps in two epochs, and returns the run directory."""

    def run(name: str, skipped: list[int], *overs: dict[str, Any], code: int = 0) -> Path:
        files = [tiny(BASE)] + [tiny({"base": []} | over, f"{i}.yaml") for i, over in enumerate(overs)]
        argv = [word for file in files for word in ("--config", file)]
        ran = cli("fit", *argv, "--name", name, "--skip_steps", str(skipped))
        assert ran.code == code, ran.err
        return tmp_path / "experiments" / name

    return run


def states(run: Path) -> dict[int, dict[str, Any]]:
    """Return the content of all checkpoints of a run, by step."""
    loaded = (torch.load(path, weights_only=True) for path in (run / "checkpoints").glob("epoch_*.ckpt"))
    return {content["global_step"]: content for content in loaded}


def part(state: dict[str, Any], keys: tuple[str, ...]) -> Leaves:
    """Return some of the content of a checkpoint, without counters of calls and the learning rate of the optimizer."""
    leaves = flat({key: state[key] for key in keys if key in state})
    ignored = (".lr", ".initial_lr", "zero_grad")
    return {path: leaf for path, leaf in leaves.items() if not path.endswith(ignored) and "zero_grad" not in path}


CASES: dict[str, tuple[list[int], dict[str, Any]]] = {
    "a step, and the last one of an epoch": ([3, 5], {}),
    "the first and the last step": ([1, 10], {}),
    "all steps of an epoch": ([1, 2, 3, 4, 5], {}),
    "all steps of the last epoch": ([6, 7, 8, 9, 10], {}),
    "the step before a validation": ([4], {"trainer": {"val_check_interval": 2}}),
    "accumulated batches": ([2, 3], {"trainer": {"accumulate_grad_batches": 2}}),
    "with workers": ([3], {"data": {"num_workers": 2}}),
    "values over epochs": ([3, 6], {"model": {"train_metrics": "epoch"}}),
    "bf16": ([3], {"trainer": {"precision": "bf16-mixed"}}),
    "Lightning's own step": ([3, 5], {"trainer": {"profiler": "simple"}}),
}


@pytest.mark.parametrize("case", slow_except(CASES, "a step, and the last one of an epoch"))
def test_skipped_step_changes_only_counts(case: str, fit: Fit) -> None:
    """Weights, optimizer and average stay; schedules, progress, order and checkpoints are those of the plain run."""
    skipped, over = CASES[case]
    plain = states(fit("plain", [], over))
    plain_calls = [call for call in Hooks.calls if call[0] == "validation" or call[1] + 1 not in skipped]
    run = fit("skipped", skipped, over)
    found = states(run)
    assert Hooks.calls == plain_calls
    assert found.keys() == plain.keys()
    for step, state in found.items():
        assert differing(part(state, COUNTED), part(plain[step], COUNTED)) == [], step
        rates = [group["lr"] for group in state["optimizer_states"][0]["param_groups"]]
        assert rates == [group["lr"] for group in plain[step]["optimizer_states"][0]["param_groups"]]
        if step in skipped and step > 1:
            assert differing(part(state, TRAINED), part(found[step - 1], TRAINED)) == [], step
        if step < min(skipped):
            assert differing(part(state, TRAINED), part(plain[step], TRAINED)) == [], step
    points = {step for tag, values in curves(run).items() if tag.startswith("train/") for step, _ in values}
    if "epoch" not in over.get("model", {}).get("train_metrics", ""):
        assert points.isdisjoint(skipped)
    log = (run / "log.txt").read_text()
    assert [log.count(f"step {step} was left out (skip_steps)") for step in skipped] == [1] * len(skipped)
    assert "`optimizer.step()`" not in log


@pytest.mark.parametrize("case", slow_except(CASES, "a step, and the last one of an epoch"))
def test_resumed_run_with_skipped_steps_is_exact(case: str, fit: Fit, cli: Cli, tmp_path: Path) -> None:
    """From the checkpoints right before and after a skipped step, and from others."""
    skipped, over = CASES[case]
    run = fit("skipped", skipped, over)
    whole = shutil.copytree(run, tmp_path / "whole")
    last = max(states(run))
    for checkpoint in sorted((whole / "checkpoints").glob("epoch_*.ckpt")):
        step = int(checkpoint.stem[-6:])
        if step == last or not ({step, step + 1} & {*skipped}):
            continue
        shutil.rmtree(run)
        shutil.copytree(whole, run)
        ran = cli("fit", "--resume", str(run / "checkpoints" / checkpoint.name))
        assert ran.code == 0, ran.err
        assert differing(outcome(whole), outcome(run)) == [], step


@pytest.mark.slow
def test_several_processes_leave_the_same_steps_out(tiny: Callable[..., str], tmp_path: Path) -> None:
    """Nothing waits for a gradient that is not computed."""
    config = tiny(BASE | {"trainer": BASE["trainer"] | {"strategy": "ddp"}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config, "--skip_steps", "[1, 4, 5]"]
    command += ["--trainer.devices", "2", "--root", "experiments"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 4 was left out (skip_steps)") == 1
    found = states(tmp_path / "experiments/tiny")
    assert [*sorted(found)] == [*range(1, 11)]
    assert differing(part(found[3], TRAINED), part(found[5], TRAINED)) == []
    assert differing(part(found[5], TRAINED), part(found[6], TRAINED)) != []


@pytest.mark.parametrize("values", slow_except(["step", "epoch"], "epoch"))
def test_epoch_of_which_all_steps_are_left_out_has_no_best_checkpoint(values: str, fit: Fit) -> None:
    """Its value is not known. If it is the first one, there is none at all."""
    over = {"model": {"train_metrics": values}, "checkpoint": {"monitor": "train/sum", "every_n_steps": 0}}
    run = fit("skipped", [1, 2, 3, 4, 5], over, {"data": {"val": None}})
    best = json.loads((run / "summary.json").read_text())["best"]
    assert (best["epoch"], best["step"]) == (2, 10)
    assert [step for step, _ in curves(run)["train/sum"]] == ([6, 7, 8, 9, 10] if values == "step" else [10])


@pytest.mark.slow
def test_steps_can_be_left_out_at_a_resume(fit: Fit, cli: Cli, tmp_path: Path) -> None:
    """In place and in a fork; the result is that of a run that left them out from the start, and it is recorded."""
    run = fit("plain", [])
    expected = outcome(fit("from_start", [7]))
    checkpoint = str(run / "checkpoints/epoch_0001_step_000006.ckpt")
    ran = cli("fit", "--resume", checkpoint, "--name", "fork", "--skip_steps", "[7]")
    assert ran.code == 0, ran.err
    assert "resuming with changed settings: skip_steps is [7]" in ran.err
    fork = tmp_path / "experiments/fork"
    assert {path for path in differing(expected, outcome(fork)) if path.startswith(".state_dict")} == set()
    assert "skip_steps:\n- 7\n" in (fork / "config.yaml").read_text()
    ran = cli("fit", "--resume", checkpoint, "--skip_steps", "[7]")
    assert ran.code == 0, ran.err
    assert differing(expected, outcome(run)) == []

    ran = cli("fit", "--resume", str(run / "checkpoints/epoch_0001_step_000008.ckpt"), "--skip_steps", "[4, 7]")
    assert ran.code == 2
    assert ran.err.splitlines()[0].startswith("error: skip_steps: step 4 was trained before ")


def test_steps_that_are_never_reached_are_told(fit: Fit, tmp_path: Path) -> None:
    run = fit("short", [3, 40, 50], {"trainer": {"max_steps": 4}})
    assert "skip_steps has 40, 50, but the training ended after step 4" in (run / "log.txt").read_text()


def refused(ran: Ran, message: str, tmp_path: Path) -> None:
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == f"error: {message}"
    assert not (tmp_path / "experiments").exists()


def test_manual_optimization_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"model": GAN}), "--skip_steps", "[2]")
    refused(ran, "skip_steps cannot leave out a step of GAN, which steps its optimizers itself", tmp_path)


@pytest.mark.parametrize("feature", [Feature.SKIPPED_STEPS, Feature.EXACT_LOOPS])
def test_missing_private_names_are_refused(
    feature: Feature, cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_unavailable", set())
    monkeypatch.setattr(names, "PRIVATE_NAMES", {feature: ["trainer.missing"]})
    ran = cli("fit", "--config", tiny(), "--skip_steps", "[2]")
    message = "skip_steps: no step can be left out (skip_steps); install the versions of constraints.txt"
    refused(ran, message, tmp_path)


@pytest.mark.parametrize("value", ["[0]", "[-1]", "[1.5]", "3"])
def test_values_that_are_no_steps_are_refused(value: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--skip_steps", value)
    assert ran.code == 2
    assert "skip_steps" in ran.err
    assert not (tmp_path / "experiments").exists()


class StepType(pl.Callback):
    """Callback that records which function trains a batch."""

    seen: list[type] = []  # noqa: RUF012

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        loop: Any = trainer.fit_loop.epoch_loop
        StepType.seen.append(type(loop._step))


@pytest.mark.slow
def test_run_without_skipped_steps_does_not_look_for_them(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"trainer": {"callbacks": [{"type": "tests.core.training.test_skipping.StepType"}]}})
    for steps, expected in (("[]", False), ("[9]", True)):
        StepType.seen.clear()
        ran = cli("fit", "--config", config, "--skip_steps", steps, "--replace")
        assert ran.code == 0, ran.err
        assert {issubclass(seen, SkippingStep) for seen in StepType.seen} == {expected}

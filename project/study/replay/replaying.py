"""Replay: steps of a run, trained again."""

import tempfile
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback

from project.core.config.configuration import Config, build_config
from project.core.config.yaml_files import Tree
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import LoadedCheckpoint
from project.core.run.lineage import read_lineage
from project.study.events import Curves, read_curves
from project.study.replay.configuration import replay_tree
from project.study.replay.guard import protecting
from project.study.replay.machine import describe_other_code, describe_rounding, quiet, using_threads
from project.study.replay.needs import ChangedByEvaluation
from project.study.replay.stretches import Stretch, find_stretches
from project.study.replay.training import ReplayCLI


class StepNotReached(ConfigError):
    """A run had ended before a step, as its configuration says."""


@dataclass
class Replayed:
    """What a replay found.

    Args:
        stretches: what was trained again.
        curves: what was logged in all stretches.
        states: content of checkpoints by step, for the steps that were asked for.
        rounding: why values may differ from those of the run by rounding.
        other_code: in what the code differs from that of the run.
        validated: whether the validations of the run were repeated, too.
        module: the module after the last step.
        trainer: its trainer, after the teardown.
        incomparable: names and steps of logged means over an epoch that lack its first batches, here or in the run.
    """

    stretches: list[Stretch]
    curves: Curves = field(default_factory=dict)
    states: dict[int, dict[str, Any]] = field(default_factory=dict)
    rounding: list[str] = field(default_factory=list)
    other_code: list[str] = field(default_factory=list)
    validated: bool = False
    module: pl.LightningModule | None = None
    trainer: pl.Trainer | None = None
    incomparable: set[tuple[str, int]] = field(default_factory=set)

    @property
    def warnings(self) -> list[str]:
        """Why values may differ from those of the run."""
        return [*self.rounding, *self.other_code]

    @property
    def first(self) -> int:
        """The optimizer steps done before the replay."""
        return self.stretches[0].first

    @property
    def last(self) -> int:
        """The last step."""
        return self.stretches[-1].last


def replay_steps(
    run: Path,
    first: int,
    last: int,
    watchers: Sequence[Callback] = (),
    states: Collection[int] = (),
    changes: Sequence[Tree] = (),
    stretches: list[Stretch] | None = None,
    trust: bool = False,
) -> Replayed:
    """Train the steps up to `last` of a run again, from the newest checkpoint before `first`.

    Args:
        run: the run directory, which is not touched.
        first: the first step of interest, as the x of the curves: 1 is the first one.
        last: the last step.
        watchers: callbacks that see the steps; see `ReplayCLI` and `StepWatcher`.
        states: steps after which the state is captured, in the form of the content of a checkpoint.
        changes: values of the yaml that replace those of the run.
        stretches: what to train; None finds it.
        trust: build any class that the configuration of the run names; without it, only registered components and
            classes of torch, torchmetrics and Lightning.

    Raises:
        ConfigError: the run cannot be replayed, or had ended before the last step.

    Example::

        replayed = replay_steps(Path("experiments/digits"), 100, 100, states=[100])
        replayed.states[100]["state_dict"]
    """
    replayed = Replayed(stretches or find_stretches(run, first, last))
    content: dict[str, Any] = {}
    for number, stretch in enumerate(replayed.stretches):
        is_last = number == len(replayed.stretches) - 1
        wanted = {*states} | (set() if is_last else {stretch.last})
        cli = _train(stretch, content, watchers, wanted, changes, trust, replayed)
        found = cli.policy.states
        if cli.reached < stretch.last:
            raise StepNotReached(
                f"the run in {stretch.run} ended after step {cli.reached}; it has no step {stretch.last}"
            )
        content = {} if is_last else found[stretch.last]
        replayed.states |= {step: state for step, state in found.items() if step in states}
        replayed.module, replayed.trainer = cli.model, cli.trainer
    return replayed


def _train(
    stretch: Stretch,
    content: dict[str, Any],
    watchers: Sequence[Callback],
    states: Collection[int],
    changes: Sequence[Tree],
    trust: bool,
    replayed: Replayed,
) -> ReplayCLI:
    """Train a stretch, with validations if these change what is trained."""
    environment = stretch.environment
    for validates in (False, True):
        with ExitStack() as stack:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replay.")))
            stack.enter_context(protecting(stretch.run))
            stack.enter_context(using_threads(environment))
            stack.enter_context(quiet())
            checkpoint, finetuned = _start(stretch, content, root)
            config = _config(stretch, root, changes, trust)
            last, resumes = stretch.last, [segment.from_step for segment in read_lineage(stretch.run)]
            cli = ReplayCLI(
                config, stretch.text, checkpoint, finetuned, last, states, resumes, watchers, validates, stack
            )
            rounding, other_code = describe_rounding(environment, cli.trainer), describe_other_code(environment)
            try:
                cli.run()
            except ChangedByEvaluation:
                continue
            _add_curves(replayed.curves, read_curves(cli.directory.path))
            replayed.validated |= cli.needs.validation
            replayed.incomparable |= cli.policy.incomparable
        break
    for found, known in ((rounding, replayed.rounding), (other_code, replayed.other_code)):
        for line in found:
            if line not in known:
                logger.warning(line)
                known.append(line)
    return cli


def _start(
    stretch: Stretch, content: dict[str, Any], root: Path
) -> tuple[LoadedCheckpoint | None, dict[str, Any] | None]:
    """Return the state that a stretch starts from, and the values of `--finetune` if it starts a run."""
    if stretch.checkpoint is not None:
        return replace(stretch.checkpoint, content=dict(stretch.checkpoint.content)), None
    if content:
        return LoadedCheckpoint(root / "state.ckpt", dict(content)), None
    finetuned = stretch.segment.finetuned
    return None, {key: value for key, value in finetuned.items() if value is not None} if finetuned else None


def _config(stretch: Stretch, root: Path, changes: Sequence[Tree], trust: bool) -> Config:
    where = f"{stretch.run / stretch.segment.config}"
    return build_config(replay_tree(stretch.text, where, root, changes, trust))


def _add_curves(curves: Curves, more: Curves) -> None:
    for name, (steps, values, times) in more.items():
        earlier = curves.get(name)
        if earlier is not None:
            steps, values, times = (np.concatenate(pair) for pair in zip(earlier, (steps, values, times), strict=True))
        curves[name] = steps, values, times

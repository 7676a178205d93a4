"""Comparison of the states of a replay with those that the run has recorded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.run.checkpoint_files import load_checkpoint
from project.core.run.state_digest import differing_leaves, state_digest, state_leaves
from project.study.replay.states import capture_state
from project.study.verify.known_states import KnownState


class StateComparison(Callback):
    """Watcher of a replay that compares each state when it is reached, and keeps none.

    Args:
        run: the run directory.
        states: the states to compare, by step.
    """

    def __init__(self, run: Path, states: Mapping[int, KnownState]) -> None:
        self.run, self.states = run, states
        self._differences: dict[int, list[str]] = {}  # by step, of all that were compared

    @property
    def compared(self) -> list[int]:
        """The steps whose states were compared."""
        return sorted(self._differences)

    @property
    def differences(self) -> list[str]:
        """What differs, in the order of steps."""
        return [f"after step {step}: {text}" for step in self.compared for text in self._differences[step]]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A replay that needs validations, after all, begins again.
        self._differences = {step: texts for step, texts in self._differences.items() if step <= trainer.global_step}

    def after_batch(self, trainer: pl.Trainer) -> None:
        """Compare the state after a training batch, if the run has recorded it."""
        step = trainer.global_step
        state = self.states.get(step)
        if state is None or step in self._differences:
            return
        content = capture_state(trainer)
        differences = [text for file in state.files if (text := self._compare(file, content))]
        if not differences and state.digest not in (None, state_digest(content)):
            differences = ["the state has another digest than in the chain"]
        self._differences[step] = differences

    def _compare(self, file: Path, content: dict[str, Any]) -> str | None:
        """Return what differs in a checkpoint; None if nothing does."""
        recorded = load_checkpoint(file).content
        names = differing_leaves(recorded, content)
        if not names:
            return None
        one, two = state_leaves(recorded), state_leaves(content)
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        difference = describe_difference(one.get(names[0]), two.get(names[0]))
        return f"{names[0]} {difference}{more} ({file.relative_to(self.run).as_posix()})"


def describe_difference(recorded: Any, replayed: Any) -> str:
    """Return how a leaf of the run's state differs from that of the replay."""
    are_tensors = isinstance(recorded, Tensor) and isinstance(replayed, Tensor)
    if not are_tensors or recorded.shape != replayed.shape or recorded.dtype != replayed.dtype:
        return f"is {_shown(recorded)}, and trained again {_shown(replayed)}"
    one, two = (tensor.to_dense().to(torch.complex128).flatten() for tensor in (recorded, replayed))
    distance = (one - two).abs()
    number = int((distance != 0).sum())  # NaN differs from NaN
    return f"differs in {number} of {one.numel()} values, by {float(distance.nan_to_num(torch.inf).max()):.3g} at most"


def _shown(leaf: Any) -> str:
    if isinstance(leaf, Tensor):
        return f"a tensor {tuple(leaf.shape)} of {str(leaf.dtype).removeprefix('torch.')}"
    return "missing" if leaf is None else repr(leaf)[:60]

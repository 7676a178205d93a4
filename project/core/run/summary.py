"""How a run ended: RUN/summary.json, and the last lines of the log."""

import json
import math
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException
from pytorch_lightning.utilities.model_helpers import is_overridden

from project.core.data.datamodule import DataModule
from project.core.distributed.signals import Interrupted
from project.core.errors import count_of, find_cause, user_message
from project.core.files import write_text
from project.core.installation import COMMAND
from project.core.run.checkpoint_files import BEST, LAST
from project.core.run.checkpoint_policy import CheckpointPolicy
from project.core.run.pruning import PruningCheck
from project.core.tensorboard import list_event_files
from project.core.training.stopping import STOPPED_BEFORE, end_reason

SUMMARY = "summary.json"
# Stored: the values of `state`. `stopped`, `failed` and `pruned` runs can be resumed, `running` may also mean killed.
RUNNING, FINISHED, STOPPED, FAILED, PRUNED = "running", "finished", "stopped", "failed", "pruned"
_LOGGED = ("train/", "val/", "eval/")
_EPOCH_AND_STEP = re.compile(r"epoch_(\d+)_(?:between_)?step_(\d+)")


class RunSummary(Callback):
    """Callback that keeps RUN/summary.json, written at the start, after each epoch and at the end.

    Its keys are `state` (running, finished, pruned, stopped or failed; a run that was killed remains running), `reason`
    (why it ended, or null), `best` (`monitor`, `mode`, `value`, `epoch`, `step` and `file` of the best checkpoint, or
    null), `last` (file of the last checkpoint, or null), `values` (the last logged value of each name that begins with
    train/, val/ or eval/; null if it is not finite), `seconds` (of training, all starts together), `steps` and `epochs`
    (those that are complete), `head` (`step`, `epoch` and `link` of the last state in states.jsonl, or null). Epochs
    count from 1; files are relative to the run directory.

    Args:
        directory: the run directory.
        policy: says which checkpoint is best; None if none are saved.
        pruning: says whether the run was pruned; None if it cannot be.
        needs_trust: whether other stages load its checkpoints only with `--trust`.

    Example::

        with RunSummary(directory, policy).recording_end(trainer):
            trainer.fit(model)
    """

    def __init__(
        self,
        directory: Path,
        policy: CheckpointPolicy | None,
        pruning: PruningCheck | None = None,
        needs_trust: bool = False,
    ) -> None:
        self.directory, self.policy, self.pruning = directory, policy, pruning
        self._trust = " --trust" if needs_trust else ""
        self._started: float | None = None
        self._first_step = self._first_epoch = 0
        self._seconds_before = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin(trainer)
        self._write(trainer, RUNNING, None)

    @rank_zero_only
    def reopen(self, trainer: pl.Trainer) -> None:
        """Say that a run goes on, before its record is cut: killed then, it must not seem to have its earlier end."""
        self._begin(trainer)
        file = self.directory / SUMMARY
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # it is written as a whole when the training starts
            return
        if isinstance(summary, dict):
            write_text(file, json.dumps(summary | {"state": RUNNING, "reason": None, "head": None}, indent=2) + "\n")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer, RUNNING, None)

    @contextmanager
    def recording_end(self, trainer: pl.Trainer) -> Iterator[None]:
        """Write and log how the training in the `with` block ended.

        A run that ended before it trained keeps the summary of an earlier start: nothing has changed.
        """
        try:
            yield
        except BaseException as error:
            if self._started is not None or find_cause(error, Interrupted):
                self._end(trainer, *_describe(error))
            raise
        if self.pruning is not None and self.pruning.reason is not None:
            self._end(trainer, PRUNED, self.pruning.reason)
        else:
            self._end(trainer, FINISHED, end_reason(trainer))

    def _begin(self, trainer: pl.Trainer) -> None:
        self._started, self._first_step = time.monotonic(), trainer.global_step
        self._seconds_before = self._read_seconds()

    @rank_zero_only
    def _end(self, trainer: pl.Trainer, state: str, reason: str) -> None:
        if trainer.global_step == 0 and state == FINISHED:
            reason = f"nothing was trained: {reason}"
        if self._started is not None or not (self.directory / SUMMARY).exists():
            self._write(trainer, state, reason)
        if state == FINISHED:
            is_trained = trainer.global_step > self._first_step and self._started is not None
            is_done = trainer.global_step > 0 and not is_trained
            level = "INFO" if is_trained or is_done else "WARNING"
            text = f"nothing was left to train: {reason}{_remedy(reason)}" if is_done else reason
            logger.log(level, f"finished: {text}")
        if state == PRUNED:
            logger.info(f"pruned: {reason}")
        for line in self._lines(trainer, state):
            logger.info(line)

    @rank_zero_only
    def _write(self, trainer: pl.Trainer, state: str, reason: str | None) -> None:
        best = self._best()
        summary = {
            "state": state,
            "reason": reason,
            "best": best and best | {"value": _finite(best["value"])},
            "last": self._file(LAST),
            "values": _last_values(trainer),
            "seconds": round(self._seconds_before + self._seconds(), 3),
            "steps": trainer.global_step,
            "epochs": self._num_epochs(trainer),
            "head": self._head(),
        }
        write_text(self.directory / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def _lines(self, trainer: pl.Trainer, state: str) -> Iterator[str]:
        """Yield what the log says of a run that has ended, only what is true of it."""
        run, steps, best, last = _shown(self.directory), trainer.global_step, self._best(), self._file(LAST)
        if steps > self._first_step:
            total = f"{count_of(steps, 'step')}, {count_of(self._num_epochs(trainer), 'complete epoch')}"
            since = (
                f"{count_of(steps - self._first_step, 'step')} since the resume; in all " if self._first_step else ""
            )
            yield f"trained {_format_seconds(self._seconds())}: {since}{total}"
        if best is not None:
            score = f"best {best['monitor']} {best['value']:.4g} in epoch {best['epoch']}, after step {best['step']}"
            yield f"{score}: {run}/{best['file']}"
        if last is not None:
            yield f"last checkpoint: {run}/{last}"
        if steps > 0 and list_event_files(self.directory / "event"):
            yield f"curves: tensorboard --logdir {shlex.quote(f'{run}/event')}"
        if (head := self._head()) is not None and state == FINISHED:
            yield f"digest of all states until step {head['step']}: {head['link']}"
        if last is not None and state == FINISHED and (stage := _next_stage(trainer)):
            yield f"next: {COMMAND} {stage} --ckpt_path {shlex.quote(run)}{self._trust}"
        elif last is not None and state != FINISHED:
            yield f"continue: {COMMAND} fit --resume {shlex.quote(run)}{self._trust}"
        elif last is None and state == STOPPED:
            yield "no checkpoint was saved; the same command starts the run again"

    def _best(self) -> dict[str, Any] | None:
        best = self.policy.best() if self.policy else None
        match = _EPOCH_AND_STEP.match(best[0]) if best else None
        if self.policy is None or best is None or match is None:
            return None
        epoch, step = int(match[1]) + 1, int(match[2])
        file = self._file(BEST) or self._file(best[0])
        return {
            "monitor": self.policy.monitor,
            "mode": self.policy.settings.mode,
            "value": best[1],
            "epoch": epoch,
            "step": step,
            "file": file,
        }

    def _head(self) -> dict[str, Any] | None:
        chain = self.policy.chain if self.policy else None
        head = chain.head if chain else None
        return head.head() if head else None

    def _file(self, name: str) -> str | None:
        path = self.directory / "checkpoints" / name
        return path.relative_to(self.directory).as_posix() if path.exists() else None

    def _num_epochs(self, trainer: pl.Trainer) -> int:
        """Return the number of complete epochs; `max_steps` and a stop may end one before its last batch."""
        epochs: Any = trainer.fit_loop.epoch_progress.current  # has more fields than its annotation
        is_within = epochs.started > epochs.processed
        is_whole = is_within or trainer.is_last_batch
        return int(epochs.processed) if is_whole else max(0, int(epochs.processed) - 1)

    def _seconds(self) -> float:
        return 0.0 if self._started is None else time.monotonic() - self._started

    def _read_seconds(self) -> float:
        """Return the seconds of earlier starts in this directory."""
        try:
            return float(json.loads((self.directory / SUMMARY).read_text(encoding="utf-8"))["seconds"])
        except FileNotFoundError:
            return 0.0
        except (ValueError, KeyError, TypeError) as error:
            logger.warning(f"{self.directory / SUMMARY} is damaged and will be replaced: {error}")
            return 0.0


def _describe(error: BaseException) -> tuple[str, str]:
    """Return the state of a run that an exception has ended, and the reason."""
    if interrupted := find_cause(error, Interrupted):
        return STOPPED, str(interrupted)
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return STOPPED, "stopped by Ctrl-C"
    if isinstance(error, SIGTERMException):
        return STOPPED, "stopped by SIGTERM"
    lines = user_message(error).splitlines()
    return FAILED, f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _remedy(reason: str) -> str:
    """Return what continues a run that has an end for this reason; empty if nothing is known to."""
    limits = {"trainer.max_epochs (": "--trainer.max_epochs", "trainer.max_steps (": "--trainer.max_steps"}
    limits["EarlyStopping: "] = "patience, such as --trainer.callbacks.0.patience"
    if reason == STOPPED_BEFORE:
        return "; to train on, resume it with another setting of the callback that stopped it"
    found = next((limit for start, limit in limits.items() if reason.startswith(start)), "")
    return found and f"; to train on, resume it with a larger {found}"


def _finite(value: float) -> float | None:
    """Return a number that json can contain, else None."""
    return value if math.isfinite(value) else None


def _last_values(trainer: pl.Trainer) -> dict[str, float | None]:
    """Return the last logged value of each name; CheckpointPolicy restores those of earlier starts."""
    logged = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(_LOGGED)}
    return {name: _finite(float(value)) for name, value in logged.items() if value.numel() == 1}


def _next_stage(trainer: pl.Trainer) -> str | None:
    """Return the stage that evaluates the run: `test`, or `validate` without an eval set; None if neither can."""
    data: object = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, DataModule):
        return None
    for stage, split, step in (("test", "eval", "test_step"), ("validate", "val", "validation_step")):
        if data.dataset_names(split):
            return stage if is_overridden(step, trainer.lightning_module) else None
    return None


def _shown(path: Path) -> str:
    """Return a path relative to the working directory if it is in it."""
    return os.path.relpath(path) if Path.cwd() in path.parents else str(path)


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))

"""When checkpoints are saved, and which are kept."""

import math
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from project.core.config.settings import Settings
from project.core.distributed.reduction import MaxReducer
from project.core.distributed.signals import Interrupted, InterruptedWait, Interruption
from project.core.errors import RunStopped, find_cause
from project.core.files import link
from project.core.run.checkpoint_files import BEST, LAST, checkpoint_name
from project.core.run.checkpoint_writer import CheckpointWriter
from project.core.run.kept_checkpoints import BETWEEN, remove_old
from project.core.run.monitor import unknown_name
from project.core.run.state_chain import StateChain
from project.core.training.lightning_internals.access import (
    disable_signal_handlers,
    is_between_batches,
    state_after_batch,
)
from project.core.training.stopping import STOPS, VALUES, get_stop_state, may_stop

# Stored: the key of the callback's state in checkpoints, and the keys in it.
_STATE_KEY, _SCORES = "Checkpoints", "scores"


class CheckpointPolicy(pl.callbacks.Checkpoint):
    """Callback that keeps `last.ckpt`, `best.ckpt` and some checkpoints named by their steps.

    Resumable checkpoints are saved after a batch in which the optimizer stepped, before anything that follows it. One
    is saved before each validation; if the validation finds it best, `best.ckpt` becomes a hard link to it.

    Args:
        directory: directory of the checkpoints.
        settings: settings of the run.
        monitor: logged value that selects the best checkpoint; None selects the last one.
        interruption: receives the signals that ask the run to stop.
    """

    def __init__(self, directory: Path, settings: Settings, monitor: str | None, interruption: Interruption) -> None:
        self.directory, self.monitor, self.interruption = directory, monitor, interruption
        self.settings, self.evaluation = settings.checkpoint, settings.evaluation
        self._skipped = settings.skip_steps or ()
        self.writer: CheckpointWriter | None = None  # None for a checkpoint plugin of the user's own
        self.chain: StateChain | None = None  # None keeps no digests of states
        self.scores: dict[str, float] = {}  # of the best checkpoints, by file name
        self.is_saving_resumable = False
        self._reducer = MaxReducer(timedelta(seconds=settings.timeout))
        self._step = self._saved_step = -1  # the last step done, and the last step that is in a resumable checkpoint
        self._is_wanted, self._saved_at = False, 0.0
        self._has_stepped = False  # whether the optimizer stepped after the last batch
        self._is_current = False  # whether a resumable checkpoint was saved after the last batch
        self._is_logged_after_validation = False  # whether the monitored value is
        self._stop_state: Callable[[], dict[str, Any]] = dict
        self._restored: dict[str, Any] = {}
        self.restores_stop = True  # false if the callbacks changed, one of which may have stopped the run

    @property
    def state_key(self) -> str:
        return _STATE_KEY

    def state_dict(self) -> dict[str, Any]:
        return {_SCORES: dict(self.scores)} | self._stop_state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_state = partial(get_stop_state, trainer)
        self.interruption.install()
        disable_signal_handlers(trainer)
        self._restore_values(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = self._saved_step = trainer.global_step
        self._is_current = trainer.global_step > 0
        self._saved_at = time.monotonic()
        self._check_same_step(trainer)
        if self._restored:
            self._restore_values(trainer)  # some strategies load checkpoints after `on_fit_start`
            trainer.should_stop = trainer.should_stop or (self.restores_stop and self._restored.get(STOPS, False))
            # Files are missing if the run had continued after this checkpoint, or if it was another run's checkpoint.
            scores: dict[str, float] = self._restored[_SCORES]
            # Names of a stranger's checkpoint may be paths.
            own = {path.name for path in self.directory.glob("*.ckpt")}
            existing = {name: score for name, score in scores.items() if name in own}
            self.scores = trainer.strategy.broadcast(existing)
        if self.scores:
            self._link(self.directory / next(iter(self.scores)), BEST)
        self.raise_if_interrupted(trainer)

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        """Save a checkpoint if one is due; called after each training batch.

        Args:
            trainer: the trainer.
            validates: whether a validation follows.

        Raises:
            Interrupted: a rank got a signal.
        """
        if self.writer is not None:
            self.writer.raise_if_failed()
        previous, self._step, self._is_current = self._step, trainer.global_step, False
        self._has_stepped = self._step != previous
        # With several ranks the result is one batch old, so that no rank waits.
        signal, is_overdue = self._reducer.reduce_delayed(trainer, self.interruption.number, self._is_overdue())
        if trainer.world_size > 1 and self._saved_step == previous:
            is_overdue = 0  # the ranks sent it before they saved the last checkpoint
        self._is_wanted |= validates or bool(signal or is_overdue) or self._is_due(trainer, previous)
        if not (self._has_stepped and self._is_wanted):
            return  # not resumable, because the optimizer did not step, or nothing is due
        self._save_resumable(trainer)
        if signal:
            self._wait()
            raise Interrupted(signal)

    def best(self) -> tuple[str, float] | None:
        """Return the file name and the score of the best checkpoint; None if there is none."""
        scores: dict[str, float] = self.scores or self._restored.get(_SCORES, {})
        return next((item for item in scores.items() if (self.directory / item[0]).exists()), None)

    def save_in_hook(self) -> None:
        """Call `after_batch` in a hook, for loops that do not call it; a run then does not resume exactly."""
        self.__dict__["on_train_batch_end"] = lambda trainer, *_: self.after_batch(trainer, validates=False)

    def raise_if_interrupted(self, trainer: pl.Trainer) -> None:
        """Raise Interrupted if a rank got a signal and the last step is in a checkpoint."""
        if self._saved_step == self._step:
            (signal,) = self._reducer.reduce(trainer, self.interruption.number)
            if signal:
                self._wait()
                raise Interrupted(signal)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        self.raise_if_interrupted(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or self.monitor is None:
            return
        if not self.is_monitored_at_epoch_end(trainer):
            if self.monitor in trainer.callback_metrics or self.monitor.startswith("val/"):
                self._update_best(trainer)
            else:
                self._is_logged_after_validation = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_monitored_at_epoch_end(trainer):
            self._update_best(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        is_unsaved = self._has_stepped and self._saved_step != self._step
        if find_cause(exception, InterruptedWait) and is_unsaved and is_between_batches(trainer):
            with state_after_batch(trainer):
                self._save_resumable(trainer)
            self._wait()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._saved_step != trainer.global_step:
            self._save_now(trainer)
            self._link(self.directory / self._file_name(trainer), LAST)
            self._prune()
        self._wait()
        if trainer.is_global_zero and (self.directory / LAST).exists() and not (self.directory / BEST).exists():
            link(self.directory / LAST, self.directory / BEST)

    def _restore_values(self, trainer: pl.Trainer) -> None:
        # None in a new run, or in a checkpoint that was saved before the training.
        for name, value in self._restored.pop(VALUES, {}).items():
            trainer.callback_metrics[name] = value.to(trainer.strategy.root_device)

    def _check_same_step(self, trainer: pl.Trainer) -> None:
        latest, earliest = self._reducer.reduce(trainer, self._step, -self._step)
        if latest != -earliest:
            raise RunStopped(
                f"some processes start at step {latest}, others at {-earliest}: "
                "the run directory must be the same on all nodes"
            )

    def _is_due(self, trainer: pl.Trainer, previous: int) -> bool:
        steps = self.settings.every_n_steps
        if self._is_planned(trainer) or (trainer.should_stop and may_stop(trainer)):
            return True
        is_in_epoch = steps > 0 and self._step // steps > previous // steps
        return is_in_epoch or (trainer.is_last_batch and self.is_monitored_at_epoch_end(trainer))

    def _is_planned(self, trainer: pl.Trainer) -> bool:
        """Return whether the step ends an epoch with a checkpoint, or the training, by the settings alone.

        These states are linked to the chain: runs of the same yaml save the same ones, whatever stopped them.
        """
        epochs, done = self.settings.every_n_epochs, trainer.current_epoch + 1
        is_epoch_saved = done == trainer.max_epochs or (epochs > 0 and done % epochs == 0)
        return (trainer.is_last_batch and is_epoch_saved) or 0 <= trainer.max_steps <= self._step

    def _is_overdue(self) -> bool:
        return 0 < self.settings.save_time <= time.monotonic() - self._saved_at

    def _file_name(self, trainer: pl.Trainer) -> str:
        """Return the name of a checkpoint saved now; one that is not resumable has "between" in it, and its batch."""
        name = checkpoint_name(trainer.current_epoch, self._step)
        if self.is_saving_resumable or self._is_current:
            return name
        batches = trainer.fit_loop.epoch_loop.batch_idx + 1
        return name.replace("step", BETWEEN).replace(".ckpt", f"_batch_{batches:06d}.ckpt")

    def _save_resumable(self, trainer: pl.Trainer) -> None:
        """Save a resumable checkpoint, which is written while the training goes on."""
        self.is_saving_resumable = True
        try:
            path = self.directory / self._file_name(trainer)
            on_written = partial(self._on_written, path)
            if self.writer is None:
                trainer.save_checkpoint(path, weights_only=False)
                on_written()
            else:
                prepare = partial(self.chain.record, self._is_planned(trainer)) if self.chain is not None else None
                with self.writer.asynchronous_write(on_written, prepare):
                    trainer.save_checkpoint(path, weights_only=False)
        finally:
            self.is_saving_resumable = False
        self._saved_step, self._is_wanted, self._saved_at = self._step, False, time.monotonic()
        self._is_current = True

    def _save_now(self, trainer: pl.Trainer) -> None:
        """Save a checkpoint that is not resumable, and wait for it."""
        trainer.save_checkpoint(self.directory / self._file_name(trainer), weights_only=False)

    def _on_written(self, path: Path) -> None:
        self._link(path, LAST)
        self._prune()

    def _wait(self) -> None:
        if self.writer is not None:
            self.writer.wait()

    def is_monitored_at_epoch_end(self, trainer: pl.Trainer) -> bool:
        """Return whether the monitored value is logged at the end of this epoch, not in a validation."""
        if self.monitor is None:
            return False
        split = self.monitor.partition("/")[0]
        if split == "eval":
            return self.evaluation.is_due(trainer.current_epoch)
        is_no_split = split not in ("train", "val")
        return split == "train" or (
            is_no_split and (self._is_logged_after_validation or not any(trainer.num_val_batches))
        )

    def _update_best(self, trainer: pl.Trainer) -> None:
        """Keep a checkpoint of the last step if it is one of the best."""
        assert self.monitor is not None
        has_trained = self._step > sum(step <= self._step for step in self._skipped)
        if self.monitor not in trainer.callback_metrics and (has_trained or self._step == 0):
            raise unknown_name("checkpoint.monitor", self.monitor, [*trainer.callback_metrics])
        if not has_trained:
            return  # the first weights are no result, and a directory with only such a checkpoint cannot be resumed
        value = trainer.strategy.broadcast(float(trainer.callback_metrics[self.monitor]))
        sign = 1 if self.settings.mode == "min" else -1
        name = self._file_name(trainer)
        ranks = {name: sign * score for name, score in (self.scores | {name: value}).items()}
        kept = sorted((name for name in ranks if not math.isnan(ranks[name])), key=ranks.__getitem__)
        kept = kept[: self.settings.best]
        if name in kept:
            if not self._is_current:
                self._save_now(trainer)
            self._wait()
            self.scores = {name: sign * ranks[name] for name in kept}
            self._link(self.directory / kept[0], BEST)
            self._prune()

    @rank_zero_only
    def _link(self, path: Path, name: str) -> None:
        if path.exists():
            link(path, self.directory / name)

    @rank_zero_only
    def _prune(self) -> None:
        remove_old(self.directory, self.settings, self.scores)

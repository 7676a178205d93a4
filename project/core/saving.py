"""When checkpoints are written, and which of them are kept."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from project.core.agreement import Agreement
from project.core.checkpoint import BEST, LAST, file_of_step, files_by_step
from project.core.errors import ConfigError, Stopped, did_you_mean, listing
from project.core.files import link
from project.core.interruption import Interrupted, Interruption
from project.core.periodic_evaluation import PeriodicEvaluation
from project.core.settings import Checkpoint, Evaluation
from project.core.whole_files import behind_the_training, wait_for_files


class Checkpoints(pl.callbacks.Checkpoint):
    """Keeps `last.ckpt`, `best.ckpt` and some by the names of their steps.

    All are written behind a batch in which the optimizer stepped, before anything that follows it: from there a run
    goes on exactly. One is written before each validation; the best is a second name of it.

    Args:
        folder: where the checkpoints go.
        settings: how often, and which one is the best.
        monitor: the value that says so; none where nothing is measured.
        interruption: what signals asked for.
    """

    def __init__(self, folder: Path, settings: Checkpoint, monitor: str | None, interruption: Interruption) -> None:
        self.folder, self.settings, self.monitor, self.interruption = folder, settings, monitor, interruption
        self.scores: dict[str, float] = {}  # of the best, by the names of their files
        self._step = self._written = -1  # the last step done, and the last one that is in a file
        self._wanted, self._exact, self._time = False, False, 0.0
        self._agreement = Agreement()
        self._logged_late = False  # what is monitored, behind the validation
        self._state: Callable[[], dict[str, Any]] = dict
        self._restored: dict[str, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"scores": dict(self.scores)} | self._state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["resumable"] = self._exact

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._state = partial(_decided_by, trainer)
        self.interruption.listen()
        # Lightning's own handlers wait for other processes, which may be busy, and would take the signals from here on.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = self._written = trainer.global_step
        self._time = time.monotonic()
        self._check_beginning(trainer)
        if self._restored:
            _decide_by(trainer, self._restored)
            # A run that went further before, and a branch of another run, do not have all files of the ranking.
            scores: dict[str, float] = self._restored["scores"]
            there = {name: score for name, score in scores.items() if (self.folder / name).exists()}
            self.scores = trainer.strategy.broadcast(there)
        if self.scores:
            self._link(self.folder / next(iter(self.scores)), BEST)
        self._end_if_asked(trainer)

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        """Saves if it is time to, and ends the run if a signal asked for it; the training loop calls it.

        Args:
            trainer: the trainer.
            validates: whether a validation follows.

        Raises:
            Interrupted: a signal asked for the end.
        """
        wait_for_files(trainer, if_done=True)
        before, self._step = self._step, trainer.global_step
        asked, late = self._agreement.exchange(trainer, self.interruption.number, self._is_late())
        if trainer.world_size > 1 and self._written == before:
            late = 0  # said a batch ago, before the newest was written
        self._wanted |= validates or bool(asked or late) or self._is_due(trainer, before)
        if self._step == before or not self._wanted:
            return  # while gradients are accumulated, nothing could go on from here
        self._exact = True
        self._write(trainer)
        self._exact = False
        if asked:
            wait_for_files(trainer)
            raise Interrupted(asked)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    def on_test_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            self._check_monitor(trainer)
        elif self.monitor is not None and not self._judges_epochs(trainer):
            if self.monitor in trainer.callback_metrics or self.monitor.startswith("val/"):
                self._judge(trainer)
            else:
                self._logged_late = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._judges_epochs(trainer):
            self._judge(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._written != trainer.global_step:
            self._write(trainer)
            self._link(self.folder / self._file(trainer), LAST)
            self._prune()
        wait_for_files(trainer)
        if trainer.is_global_zero and (self.folder / LAST).exists() and not (self.folder / BEST).exists():
            link(self.folder / LAST, self.folder / BEST)

    def _check_beginning(self, trainer: pl.Trainer) -> None:
        latest, earliest = self._agreement.greatest(trainer, self._step, -self._step)
        if latest != -earliest:
            raise Stopped(
                f"some processes begin at step {latest}, others at {-earliest}: "
                "the run's folder must be the same on all nodes"
            )

    def _is_due(self, trainer: pl.Trainer, before: int) -> bool:
        steps, epochs, done = self.settings.every_n_steps, self.settings.every_n_epochs, trainer.current_epoch + 1
        stops = trainer.should_stop and trainer.fit_loop._can_stop_early
        if stops or 0 <= trainer.max_steps <= self._step or (steps and self._step // steps > before // steps):
            return True
        due = done == trainer.max_epochs or (epochs > 0 and done % epochs == 0) or self._judges_epochs(trainer)
        return trainer.is_last_batch and due

    def _is_late(self) -> bool:
        return 0 < self.settings.save_time <= time.monotonic() - self._time

    def _end_if_asked(self, trainer: pl.Trainer) -> None:
        """Ends the run between two steps, if what was done is in a file."""
        if self._written == self._step:
            (asked,) = self._agreement.greatest(trainer, self.interruption.number)
            if asked:
                wait_for_files(trainer)
                raise Interrupted(asked)

    def _file(self, trainer: pl.Trainer) -> str:
        """The name of what is written behind the last step; of an inexact one, a run does not go on from it."""
        exact = file_of_step(trainer.current_epoch, self._step)
        return exact if self._exact or self._written == self._step else exact.replace("step", "between_step")

    def _write(self, trainer: pl.Trainer) -> None:
        """One to go on from is written while the training goes on; anything else at once."""
        path = self.folder / self._file(trainer)
        with behind_the_training(trainer, partial(self._settle, path)) if self._exact else nullcontext():
            trainer.save_checkpoint(path, weights_only=False)
        if self._exact:
            self._written, self._wanted, self._time = self._step, False, time.monotonic()

    def _settle(self, path: Path) -> None:
        """What comes when a checkpoint to go on from is on the disk."""
        self._link(path, LAST)
        self._prune()

    def _judges_epochs(self, trainer: pl.Trainer) -> bool:
        """Whether the end of this epoch, and not a validation, tells which is the best."""
        if self.monitor is None:
            return False
        part = self.monitor.partition("/")[0]
        if part == "eval":
            evaluations = (callback for callback in trainer.callbacks if isinstance(callback, PeriodicEvaluation))  # type: ignore[attr-defined]
            return any(evaluation.is_due(trainer) for evaluation in evaluations)
        return part == "train" or (part != "val" and (self._logged_late or not any(trainer.num_val_batches)))

    def _judge(self, trainer: pl.Trainer) -> None:
        """Keeps what was written behind the last step, if it is one of the best."""
        assert self.monitor is not None
        if self.monitor not in trainer.callback_metrics:
            raise self._unknown([*trainer.callback_metrics])
        value = trainer.strategy.broadcast(float(trainer.callback_metrics[self.monitor]))
        sign = 1 if self.settings.mode == "min" else -1
        name = self._file(trainer)
        ranks = {name: sign * score for name, score in (self.scores | {name: value}).items()}
        kept = sorted((name for name in ranks if not math.isnan(ranks[name])), key=ranks.__getitem__)
        kept = kept[: self.settings.best]
        if name in kept:
            if self._written != self._step:
                self._write(trainer)
            wait_for_files(trainer)
            self.scores = {name: sign * ranks[name] for name in kept}
            self._link(self.folder / kept[0], BEST)
            self._prune()

    def _check_monitor(self, trainer: pl.Trainer) -> None:
        """Looks before training whether what is monitored is there."""
        measured = [name for name in trainer.callback_metrics if name.startswith("val/")]
        if str(self.monitor).startswith("val/") and measured and self.monitor not in measured:
            raise self._unknown(measured)

    def _unknown(self, measured: list[str]) -> ConfigError:
        near = did_you_mean(str(self.monitor), measured)
        return ConfigError(f"checkpoint.monitor: nothing is called '{self.monitor}'{near}\nknown: {listing(measured)}")

    @rank_zero_only
    def _link(self, path: Path, name: str) -> None:
        if path.exists():
            link(path, self.folder / name)

    @rank_zero_only
    def _prune(self) -> None:
        """Removes what is neither one of the newest nor one of the best; the new one stands already."""
        newest = list(files_by_step(self.folder))
        old = newest[self.settings.keep :] if self.settings.keep >= 0 else []
        for path in [*old, *self.folder.glob("*_between_*.ckpt")]:
            if path.name not in self.scores:
                path.unlink(missing_ok=True)


def monitored(settings: Checkpoint, evaluation: Evaluation, val_sets: list[str] | None) -> str | None:
    """The value by which the best checkpoint is chosen; none where nothing is measured.

    Args:
        settings: which one is the best.
        evaluation: whether there is one while training.
        val_sets: the names of the validation sets, where they are known; '' is one that stands alone.

    Raises:
        ConfigError: there are several sets and none is said to count, or an evaluation that is never done.
    """
    monitor = settings.monitor
    if str(monitor).startswith("eval/") and not evaluation.every_n_epochs:
        raise ConfigError(f"checkpoint.monitor is {monitor}, but evaluation.every_n_epochs is 0, which is off")
    if monitor is None and len(val_sets or ()) > 1:
        sums = ", ".join(f"val/{name}/sum" for name in val_sets or ())
        raise ConfigError(f"checkpoint.monitor must say which validation set counts, such as one of {sums}")
    if monitor is None and val_sets:
        return "/".join(filter(None, ("val", *val_sets, "sum")))
    if monitor is not None and monitor.startswith("val/") and val_sets == []:
        return None  # there is no validation
    return monitor


def _decided_by(trainer: pl.Trainer) -> dict[str, Any]:
    """What others decide by at the end of an epoch: the values logged last, and whether the run is to stop."""
    values = {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()}
    return {"values": values, "stops": trainer.should_stop}


def _decide_by(trainer: pl.Trainer, state: dict[str, Any]) -> None:
    device = trainer.strategy.root_device
    trainer._logger_connector._callback_metrics |= {name: value.to(device) for name, value in state["values"].items()}
    trainer.should_stop = trainer.should_stop or state["stops"]

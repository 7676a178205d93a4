"""When checkpoints are written, and which of them are kept."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from project.core.checkpoint import BEST, LAST, file_of_step, files_by_step
from project.core.errors import ConfigError, did_you_mean, listing
from project.core.files import link
from project.core.interruption import Interrupted, Interruption
from project.core.periodic_evaluation import PeriodicEvaluation
from project.core.settings import Checkpoint, Evaluation


class Checkpoints(pl.callbacks.Checkpoint):
    """Keeps `last.ckpt`, `best.ckpt` and some by the names of their steps.

    All are written behind a batch in which the optimizer stepped, before anything that follows it: from there a run
    goes on exactly. One is written before each validation; the best is a second name of it.

    Args:
        folder: where the checkpoints go.
        settings: how often, and which one is the best.
        monitor: the value that says so; none where nothing is measured.
    """

    def __init__(self, folder: Path, settings: Checkpoint, monitor: str | None) -> None:
        self.folder, self.settings, self.monitor, self.interruption = folder, settings, monitor, Interruption()
        self.scores: dict[str, float] = {}  # of the best, by the names of their files
        self._step = self._written = -1  # the last step done, and the last one that is in a file
        self._wanted, self._exact = False, False
        self._time = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"scores": dict(self.scores)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.scores = dict(state_dict["scores"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["resumable"] = self._exact

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.interruption.listen()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._step = self._written = trainer.global_step
        self._time = time.monotonic()
        # A run that went further before, and a branch of another run, do not have all files of the ranking.
        self.scores = {name: score for name, score in self.scores.items() if (self.folder / name).exists()}
        if self.scores:
            self._link(self.folder / next(iter(self.scores)), BEST)
        self.interruption.listen()  # again: Lightning took SIGTERM in the meantime
        self._end_if_asked(trainer)

    def after_batch(self, trainer: pl.Trainer, validates: bool) -> None:
        """Saves if it is time to, and ends the run if a signal asked for it; the training loop calls it.

        Args:
            trainer: the trainer.
            validates: whether a validation follows.

        Raises:
            Interrupted: a signal asked for the end.
        """
        before, self._step = self._step, trainer.global_step
        asked, late = _greatest(trainer, self.interruption.number, self._is_late())
        self._wanted |= validates or bool(asked or late) or self._is_due(trainer, before)
        if self._step == before or not self._wanted:
            return  # while gradients are accumulated, nothing could go on from here
        self._exact = True
        self._write(trainer)
        self._exact = False
        if asked:
            raise Interrupted(asked)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._end_if_asked(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            self._check_monitor(trainer)
        elif not self._is_of_an_epoch(trainer):
            self._judge(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        evaluations = (callback for callback in trainer.callbacks if isinstance(callback, PeriodicEvaluation))  # type: ignore[attr-defined]
        stale = str(self.monitor).startswith("eval/") and not any(one.is_due(trainer) for one in evaluations)
        if self._is_of_an_epoch(trainer) and not stale:
            self._judge(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._written != trainer.global_step:
            self._write(trainer)
        if trainer.is_global_zero and (self.folder / LAST).exists() and not (self.folder / BEST).exists():
            link(self.folder / LAST, self.folder / BEST)

    def _is_due(self, trainer: pl.Trainer, before: int) -> bool:
        steps, epochs, done = self.settings.every_n_steps, self.settings.every_n_epochs, trainer.current_epoch + 1
        if trainer.should_stop or 0 <= trainer.max_steps <= self._step:
            return True
        if steps and self._step // steps > before // steps:
            return True
        return trainer.is_last_batch and (done == trainer.max_epochs or (epochs > 0 and done % epochs == 0))

    def _is_late(self) -> bool:
        return 0 < self.settings.save_time <= time.monotonic() - self._time

    def _end_if_asked(self, trainer: pl.Trainer) -> None:
        """Ends the run between two steps, if what was done is in a file."""
        if self._written == self._step:
            (asked,) = _greatest(trainer, self.interruption.number)
            if asked:
                raise Interrupted(asked)

    def _write(self, trainer: pl.Trainer) -> None:
        path = self.folder / file_of_step(trainer.current_epoch, trainer.global_step)
        trainer.save_checkpoint(path, weights_only=False)
        self._written, self._wanted, self._time = trainer.global_step, False, time.monotonic()
        self._link(path, LAST)
        self._prune()

    def _is_of_an_epoch(self, trainer: pl.Trainer) -> bool:
        """Whether what is monitored is known at the end of an epoch, and not behind a validation."""
        part = str(self.monitor).partition("/")[0]
        return part in ("train", "eval") or (part != "val" and not any(trainer.num_val_batches))

    def _judge(self, trainer: pl.Trainer) -> None:
        """Keeps what was written behind the last step, if it is one of the best."""
        if self.monitor is None:
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            raise self._unknown([*trainer.callback_metrics])
        sign = 1 if self.settings.mode == "min" else -1
        ranks = {name: sign * score for name, score in self.scores.items()}
        name = file_of_step(trainer.current_epoch, trainer.global_step)
        ranks[name] = sign * float(value)
        kept = sorted((name for name in ranks if not math.isnan(ranks[name])), key=ranks.__getitem__)
        kept = kept[: self.settings.best]
        if name in kept:
            if self._written != trainer.global_step:
                self._write(trainer)
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
        files = list(files_by_step(self.folder))
        for path in files[self.settings.keep :] if self.settings.keep >= 0 else ():
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


def _greatest(trainer: pl.Trainer, *values: int) -> list[int]:
    """The greatest of each value over all processes: they must save, and end, at the same batch."""
    if trainer.world_size == 1:
        return list(values)
    tensor = torch.tensor(values, device=trainer.strategy.root_device)
    reduced: list[int] = trainer.strategy.reduce(tensor, reduce_op="max").tolist()
    return reduced

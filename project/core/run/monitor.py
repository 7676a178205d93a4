"""Names of monitored values: the check, before the first step, that a value of each name will be logged in time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping, LambdaCallback

from project.core.config.settings import CheckpointSettings, Settings
from project.core.data.datamodule import DataModule
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.model.module import SupervisedModule
from project.core.model.schedulers import Warmup
from project.core.run.direction import check_mode
from project.core.run.logged_values import Timeline, declared_names, why_never_logged
from project.core.training.lightning_internals.access import checks_at_epoch_end

_ENGINE = f"{__name__.partition('.')[0]}.core."
_KNOWN_CALLBACKS = ("pytorch_lightning.callbacks.", _ENGINE)
_LEARNING_RATES, _VALIDATION = "lr-", ("val/", "val_", "valid")  # how the names of such values begin


@dataclass
class Monitor:
    """A monitored name.

    Args:
        setting: setting that contains the name.
        name: the name.
        owner: what monitors it.
        is_strict: whether a value that is missing ends the run.
    """

    setting: str
    name: str
    owner: object = None
    is_strict: bool = True

    def needed_after(self, timeline: Timeline) -> float:
        """Return the step after which the value is first read; the last step if that does not matter."""
        if isinstance(self.owner, EarlyStopping):
            step = timeline.steps.before(1) if checks_at_epoch_end(self.owner) else timeline.first_validation
        elif getattr(self.owner, "reduce_on_plateau", False):
            count: int = self.owner.frequency  # type: ignore[attr-defined]
            step = timeline.steps.before(count) if self.owner.interval == "epoch" else count  # type: ignore[attr-defined]
        else:
            step = math.inf
        return min(step, timeline.last)

    @property
    def mode(self) -> str | None:
        """Whether the lowest or the highest value is best for the owner; None if that is unknown."""
        owner = getattr(self.owner, "scheduler", self.owner)
        return getattr(owner.after if isinstance(owner, Warmup) else owner, "mode", None)

    @property
    def remedy(self) -> str:
        """What to do if the value is logged too late."""
        if getattr(self.owner, "interval", "epoch") == "step":
            return "set model.interval to epoch"
        if self.name.startswith("train/"):
            return "set model.train_metrics to step, and a lower trainer.log_every_n_steps"
        return "monitor a value that is logged earlier, such as train/sum"


class MonitorCheck(Callback):
    """Callback that refuses monitored names whose values will not be logged, or too late, before the first step.

    A SupervisedModule declares its names. What another module logs in a validation is known after the sanity
    validation. A callback of the user's own may log any name at any time, so that beside one, an unknown name gets only
    a warning.

    Args:
        settings: settings of the run.
        selects_best: logged value that selects the best checkpoint, given or by default; None if none does.
        given: callbacks of the yaml.
    """

    def __init__(self, settings: Settings, selects_best: str | None, given: list[Callback]) -> None:
        self.settings, self.given = settings, given
        best = [Monitor("checkpoint.monitor", selects_best)] if selects_best else []
        self._given, self._default = (best, []) if settings.checkpoint.monitor else ([], best)
        self._monitors: list[Monitor] = []
        self._declared: dict[str, list[str]] = {}
        self._is_own_module = self._has_own_callbacks = self._is_complete = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_own_module = type(pl_module) is not SupervisedModule
        own_data = not isinstance(trainer.datamodule, DataModule)  # type: ignore[attr-defined]
        self._has_own_callbacks = not all(map(_is_of_library, self.given))
        self._is_complete = not (self._is_own_module or own_data or self._has_own_callbacks)
        self._declared = declared_names(trainer, pl_module)
        self._monitors = []
        for monitor in (*self._given, *_find_monitors(trainer)):
            split = monitor.name.partition("/")[0]
            is_fast_dev_run = trainer.fast_dev_run  # type: ignore[attr-defined]  # which replaces these settings
            reason = None if is_fast_dev_run else why_never_logged(split, trainer, self.settings.evaluation)
            known = self._known_names(trainer)
            if reason:
                problem = f"'{monitor.name}' is never logged: {reason}"
                self._report(monitor, problem, f"known: {join_names(known)}")
            elif self._is_known(monitor.name):
                self._monitors.append(monitor)
            else:
                self._report_unknown(monitor, self._declared.get(split, known))
        for monitor in (*self._default, *self._monitors):
            mode = monitor.mode if monitor.owner else self.settings.checkpoint.mode
            check_mode(monitor.setting.replace(".monitor", ".mode"), mode, monitor.name, trainer, pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            return
        logged = [name for name in trainer.callback_metrics if name.startswith(_VALIDATION)]
        for monitor in [*self._default, *self._monitors] if logged else ():
            name = monitor.name
            is_entry = self._has_entries(name) and name.rpartition("/")[0] not in logged
            if name.startswith(_VALIDATION) and name not in logged and not is_entry:
                self._report_unknown(monitor, logged)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        timeline = Timeline(trainer, self.settings.evaluation)
        if self._is_own_module or not timeline.is_known:
            return
        for monitor in self._monitors:
            split = monitor.name.partition("/")[0]
            first, needed = timeline.first_logged.get(split, 0), monitor.needed_after(timeline)
            is_restored = monitor.name in trainer.callback_metrics
            if first > needed and self._is_declared(monitor.name) and not is_restored:
                when = f"the run ends after step {needed}" if needed == timeline.last else f"needed after step {needed}"
                self._report(
                    monitor, f"'{monitor.name}' is first logged after step {first}, but {when}", monitor.remedy
                )

    def _is_known(self, name: str) -> bool:
        """Return whether a name is logged, or whether it is not known what the module logs."""
        is_silent = self._is_own_module or not self._declared
        return is_silent or self._is_declared(name) or name.startswith(_LEARNING_RATES)

    def _is_declared(self, name: str) -> bool:
        return any(name == item for names in self._declared.values() for item in names) or self._has_entries(name)

    def _has_entries(self, name: str) -> bool:
        """Return whether a name may be an entry of a metric or loss with several values, such as val/f1/3."""
        return any(name.startswith(f"{item}/") for names in self._declared.values() for item in names)

    def _known_names(self, trainer: pl.Trainer) -> list[str]:
        splits = [split for split in self._declared if not why_never_logged(split, trainer, self.settings.evaluation)]
        return [name for split in splits for name in self._declared[split]]

    def _report_unknown(self, monitor: Monitor, known: list[str]) -> None:
        """Refuse an unknown name; only warn if a callback of the user's own may log it."""
        if not self._has_own_callbacks:
            raise unknown_name(monitor.setting, monitor.name, known)
        near = did_you_mean(monitor.name, known)
        logger.warning(f"{monitor.setting}: only a callback of your own can log '{monitor.name}'{near}")

    def _report(self, monitor: Monitor, problem: str, remedy: str) -> None:
        """Refuse a value that is missing or late; only warn if that does no harm, or the user's own code may log it.

        Without it, checkpoints select the last one: a short run, or one without a validation, may have a longer one's
        yaml. One that disables the evaluation has never selected another.
        """
        is_known = self._is_complete or (self._is_declared(monitor.name) and not self._is_own_module)
        does_harm = not isinstance(monitor.owner, Checkpoint | None) or not (
            monitor.name.startswith("val/") or (monitor.name.startswith("eval/") and self.settings.evaluation.is_active)
        )
        if monitor.is_strict and is_known and does_harm:
            raise ConfigError(f"{monitor.setting}: {problem}\n{remedy}")
        logger.warning(f"{monitor.setting}: {problem}")


def unknown_name(setting: str, name: str, known: list[str]) -> ConfigError:
    """Return the error for a monitored name that is not logged."""
    near = did_you_mean(name, known)
    return ConfigError(f"{setting}: no logged value is called '{name}'{near}\nknown: {join_names(known)}")


def resolve_monitor(settings: CheckpointSettings, val_names: list[str] | None) -> str | None:
    """Return the logged value that selects the best checkpoint; None selects the last one.

    Args:
        settings: settings of checkpoints.
        val_names: names of the validation datasets, [''] for a single one; None if they are not known.

    Raises:
        ConfigError: there are several validation datasets and no monitor.
    """
    if settings.monitor is None and len(val_names or ()) > 1:
        sums = ", ".join(f"val/{name}/sum" for name in val_names or ())
        raise ConfigError(f"checkpoint.monitor must name a value of one validation dataset, such as one of {sums}")
    if settings.monitor is None and val_names:
        return "/".join(filter(None, ("val", *val_names, "sum")))
    if settings.monitor is not None and settings.monitor.startswith("val/") and val_names == []:
        # Not refused: `--data.val null` trains on everything, whatever the yaml of the experiment monitors.
        logger.warning(f"data.val is null, so checkpoint.monitor ({settings.monitor}) selects the last checkpoint")
        return None
    return settings.monitor


def _find_monitors(trainer: pl.Trainer) -> Iterator[Monitor]:
    """Yield what callbacks and schedulers monitor."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = getattr(callback, "monitor", None)
        is_count = isinstance(callback, Checkpoint) and name in ("epoch", "step")  # which ModelCheckpoint adds
        if isinstance(name, str) and not is_count and not type(callback).__module__.startswith(_ENGINE):
            setting = f"trainer.callbacks ({type(callback).__name__}).monitor"
            yield Monitor(setting, name, callback, getattr(callback, "strict", True))
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.monitor is not None:
            scheduler: Any = config.scheduler
            path = "model.scheduler"
            if isinstance(scheduler, Warmup):
                path, scheduler = f"{path}.after", scheduler.after
            name = type(scheduler).__name__
            yield Monitor(f"{path} ({name}).monitor", config.monitor, config, config.strict)


def _is_of_library(callback: Callback) -> bool:
    """Return whether a callback is of Lightning or the engine; the functions of a LambdaCallback may be the user's."""
    return type(callback).__module__.startswith(_KNOWN_CALLBACKS) and not isinstance(callback, LambdaCallback)

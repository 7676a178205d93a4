"""Names of monitored values: the check, before the first step, that a value of each name will be logged in time."""

import inspect
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import Callback, Checkpoint, EarlyStopping, LambdaCallback

from project.core.config.settings import CheckpointSettings, Settings
from project.core.data.datamodule import DataModule
from project.core.errors import ConfigError, did_you_mean, join_names
from project.core.model.module import SupervisedModule
from project.core.run.logged_values import Timeline, declared_names, why_never_logged
from project.core.training.lightning_internals.access import checks_at_epoch_end

_ENGINE = f"{__name__.partition('.')[0]}.core."
_KNOWN_CALLBACKS = ("pytorch_lightning.callbacks.", _ENGINE)
_BASES = ("pytorch_lightning.", "lightning_fabric.", "torch.", "builtins.", "abc.", _ENGINE)
# In the source of the user's own classes: whether they log, log a name that is computed, or pass on what can log.
_LOGS = re.compile("log|metrics", re.IGNORECASE)
_LOGS_COMPUTED = re.compile(r"log\w*\(\s*[^\s'\")]|metrics\[")
_PASSES_ON = re.compile(r"(?<!def )(?<!super\(\)\.)\b\w+\((?:[^()]*\W)?(?:self|trainer|pl_module|module)\s*[,)]")
_VALIDATION = re.compile(r"val(id|idation)?(?![a-z])")  # how the names of its values begin
_LEARNING_RATES = "lr-"  # LearningRateMonitor logs them


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
            step = timeline.steps_per_epoch if checks_at_epoch_end(self.owner) else timeline.first_validation
        elif getattr(self.owner, "reduce_on_plateau", False):
            unit = timeline.steps_per_epoch if self.owner.interval == "epoch" else 1  # type: ignore[attr-defined]
            step = unit * self.owner.frequency  # type: ignore[attr-defined]
        else:
            step = math.inf
        return min(step, timeline.last)

    @property
    def remedy(self) -> str:
        """What to do if the value is logged too late."""
        if getattr(self.owner, "interval", "epoch") == "step":
            return "set model.interval to epoch"
        return "monitor a value that is logged earlier, such as train/sum"


class MonitorCheck(Callback):
    """Callback that refuses monitored names whose values will not be logged, or too late, before the first step.

    All names are known if the module is a SupervisedModule, and every callback is of Lightning or the engine, or
    neither logs nor passes on the trainer or module. Others may log any name at any time; then a name of the validation
    is refused after the sanity validation if it was not logged there and they cannot log it later, as far as their
    source tells, and for other names there is at most a warning.

    Args:
        settings: settings of the run.
        selects_best: logged value that selects the best checkpoint, given or by default; None if none does.
        given: callbacks of the yaml.
    """

    def __init__(self, settings: Settings, selects_best: str | None, given: list[Callback]) -> None:
        self.settings, self.given = settings, given
        self._best = [Monitor("checkpoint.monitor", selects_best)] if selects_best else []
        self._monitors: list[Monitor] = []
        self._declared: dict[str, list[str]] = {}
        self._is_own_module = self._is_complete = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._is_own_module = type(pl_module) is not SupervisedModule
        own_data = not isinstance(trainer.datamodule, DataModule)  # type: ignore[attr-defined]
        foreign = [each for each in self.given if not _is_known(each)]
        self._is_complete = not (self._is_own_module or own_data or foreign)
        self._declared = declared_names(trainer, pl_module)
        explicit = self._best if self.settings.checkpoint.monitor else []
        self._monitors = []
        for monitor in (*explicit, *_find_monitors(trainer)):
            split = monitor.name.partition("/")[0]
            is_trial = trainer.fast_dev_run  # type: ignore[attr-defined]  # which replaces these settings
            reason = None if is_trial else why_never_logged(split, trainer, self.settings.evaluation)
            known = self._known_names(trainer)
            if reason:
                problem = f"'{monitor.name}' is never logged: {reason}"
                self._report(monitor, problem, f"known: {join_names(known)}")
            elif self._is_complete and not (self._is_declared(monitor.name) or _is_learning_rate(monitor.name)):
                raise unknown_name(monitor.setting, monitor.name, self._declared.get(split, known))
            else:
                self._monitors.append(monitor)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            return
        logged = [name for name in trainer.callback_metrics if _VALIDATION.match(name)]
        for monitor in [*self._best, *self._monitors] if logged else ():
            name = monitor.name
            may_come = self._may_log(pl_module, name) or (self._has_entries(name) and _parent(name) not in logged)
            if _VALIDATION.match(name) and name not in logged and not may_come:
                raise unknown_name(monitor.setting, name, logged)

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

    def _is_declared(self, name: str) -> bool:
        return any(name == item for names in self._declared.values() for item in names) or self._has_entries(name)

    def _has_entries(self, name: str) -> bool:
        """Return whether a name may be an entry of a metric or loss with several values, such as val/f1/3."""
        return any(name.startswith(f"{item}/") for names in self._declared.values() for item in names)

    def _may_log(self, module: pl.LightningModule, name: str) -> bool:
        """Return whether the user's own module or callbacks may log a name later, as far as their source tells."""
        last = re.compile(rf"['\"/]{re.escape(name.rpartition('/')[2])}['\"]")
        return any(
            _finds(each, owner) for each in (last, _LOGS_COMPUTED, _PASSES_ON) for owner in (module, *self.given)
        )

    def _known_names(self, trainer: pl.Trainer) -> list[str]:
        splits = [split for split in self._declared if not why_never_logged(split, trainer, self.settings.evaluation)]
        return [name for split in splits for name in self._declared[split]]

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
            setting = f"model.scheduler ({type(config.scheduler).__name__}).monitor"
            yield Monitor(setting, config.monitor, config, config.strict)


def _is_known(callback: Callback) -> bool:
    """Return whether it is known what a callback logs: it is of Lightning or the engine, or does not log."""
    if isinstance(callback, LambdaCallback):
        return False  # its functions may be the user's
    may_log = _finds(_LOGS, callback) or _finds(_PASSES_ON, callback)
    return type(callback).__module__.startswith(_KNOWN_CALLBACKS) or not may_log


def _finds(pattern: re.Pattern[str], owner: object) -> bool:
    """Return whether a pattern occurs in the source of an object's class and its bases; True if there is no source."""
    own = [cls for cls in type(owner).__mro__ if not f"{cls.__module__}.".startswith(_BASES)]
    try:
        return any(pattern.search(inspect.getsource(cls)) for cls in own)
    except (OSError, TypeError):  # the class was not read from a file
        return True


def _is_learning_rate(name: str) -> bool:
    return name.startswith(_LEARNING_RATES)


def _parent(name: str) -> str:
    return name.rpartition("/")[0]

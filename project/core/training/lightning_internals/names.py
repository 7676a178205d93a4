"""The private names in use, by the feature that needs them, and the check that they exist."""

from collections.abc import Mapping
from enum import Enum
from inspect import getattr_static
from operator import attrgetter
from pkgutil import resolve_name
from typing import Any

import pytorch_lightning as pl
from loguru import logger
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from pytorch_lightning.strategies import DDPStrategy
from torchmetrics import MeanMetric

from project.core.errors import ConfigError, join_names


class Feature(Enum):
    """Feature that needs private names. The value says what happens without them."""

    EXACT_LOOPS = "Lightning's own loops run: a resumed run is not exact, and epochs need data of the announced length"
    FAST_STEPS = "Lightning's own steps run, which take longer"
    SKIPPED_STEPS = "no step can be left out (skip_steps)"
    STEP_SEEDS = "steps are seeded later: what is drawn while a batch is moved to the device is not resumed exactly"
    STEP_LOGGING = "values are logged with LightningModule.log, which takes longer, at the step before theirs"
    SENDING = "a run with workers waits forever for a batch that cannot be pickled"
    SIGNALS = "Lightning's signal handlers run: a signal may make a run of several processes hang"
    TIMEOUT = "`timeout` is ignored"
    METRIC_STATES = "metrics cannot be gathered from several processes"
    AVERAGES = "before WeightAveraging starts to average, the initial weights are validated and saved"
    LAUNCHERS = "strategies that fork or spawn processes are not refused, and fail at the end of the training"
    MONITORS = "a value that EarlyStopping reads before it is logged is reported later"
    SEQUENCES = "an exported GRU or LSTM takes only sequences as long as those of the first batch"
    REPLAYS = "no step can be replayed"
    SIGNATURES = "the arguments of components are unknown"


def _names(owner: str, names: str) -> list[str]:
    return [f"{owner}{'' if owner.endswith(':') else '.'}{name}" for name in names.split()]


_LOOPS = "pytorch_lightning.loops"
_LAUNCHERS = "pytorch_lightning.strategies.launchers.multiprocessing"
# Each is an attribute of an object of `_owners`, or MODULE:NAME. Methods that the loops here override count as well:
# if Lightning renames one, the override is never called. tests/core/training/test_private_names.py asserts that no name
# is missing here.
PRIVATE_NAMES: Mapping[Feature, list[str]] = {
    Feature.EXACT_LOOPS: [
        *_names(f"{_LOOPS}.fetchers:", "_DataFetcher _PrefetchDataFetcher"),
        *_names(f"{_LOOPS}.fit_loop:_FitLoop", "run done is_resuming setup_data on_run_start on_advance_start"),
        *_names(f"{_LOOPS}.training_epoch_loop:_TrainingEpochLoop", "run done reset advance"),
        *_names(f"{_LOOPS}.training_epoch_loop:_TrainingEpochLoop", "on_run_start on_advance_end"),
        *_names("trainer.fit_loop", "_data_fetcher _combined_loader _restarting"),
        *_names("trainer.fit_loop.epoch_loop", "_should_check_val_epoch _should_check_val_fx"),
        *_names("trainer.fit_loop.epoch_loop", "_broadcast_sigterm_tensor restarting _on_before_fetch _on_after_fetch"),
        *_names("trainer.fit_loop.epoch_loop", "_batches_that_stepped"),
        *_names("trainer.fit_loop.epoch_loop.val_loop", "restarting setup_data skip"),
    ],
    Feature.FAST_STEPS: [
        *_names(f"{_LOOPS}.evaluation_loop:_EvaluationLoop", "on_run_start _evaluation_step"),
        *_names(f"{_LOOPS}.training_epoch_loop:", "_TrainingEpochLoop"),
        *_names(f"{_LOOPS}.fetchers:", "_DataFetcher _DataLoaderIterDataFetcher"),
        *_names(f"{_LOOPS}.optimization.automatic:ClosureResult", "from_training_step_output"),
        *_names(f"{_LOOPS}.utilities:", "_block_parallel_sync_behavior"),
        *_names("pytorch_lightning.core.hooks:DataHooks", "transfer_batch_to_device"),
        *_names("pytorch_lightning.utilities.signature_utils:", "is_param_in_hook_signature"),
        *_names("trainer.test_loop", "_trainer_fn _stage _data_fetcher _is_sequential _has_run _results"),
        *_names("trainer.test_loop", "_seen_batches_per_dataloader"),
        *_names("trainer.fit_loop.epoch_loop", "_results _warning_cache _should_accumulate"),
        *_names("trainer.fit_loop.epoch_loop", "_num_ready_batches_reached update_lr_schedulers"),
        *_names("trainer.fit_loop.epoch_loop.automatic_optimization", "_skip_backward _on_before_zero_grad"),
        *_names("trainer.fit_loop.epoch_loop.automatic_optimization", "_optimizer_zero_grad optim_progress"),
        *_names("trainer._logger_connector", "_first_loop_iter on_batch_end"),
        *_names("trainer._logger_connector", "update_train_step_metrics update_eval_step_metrics"),
        *_names("trainer", "_data_connector._datahook_selector strategy._lightning_optimizers"),
        *_names("module", "_current_fx_name"),
    ],
    Feature.SKIPPED_STEPS: [
        *_names("trainer.fit_loop.epoch_loop", "_should_accumulate _num_ready_batches_reached update_lr_schedulers"),
        *_names("trainer.fit_loop.epoch_loop", "global_step batch_progress automatic_optimization.optim_progress"),
        *_names(f"{_LOOPS}.fetchers:", "_DataFetcher"),
        *_names(f"{_LOOPS}.training_epoch_loop:", "_TrainingEpochLoop"),
    ],
    Feature.STEP_SEEDS: [
        *_names("trainer.fit_loop.epoch_loop", "_on_after_fetch val_loop._on_after_fetch"),
        *_names("trainer", "validate_loop._on_after_fetch test_loop._on_after_fetch predict_loop._on_after_fetch"),
    ],
    Feature.STEP_LOGGING: [
        *_names("trainer._logger_connector", "should_update_logs log_metrics"),
        *_names("trainer.fit_loop", "_should_accumulate"),
        *_names("pytorch_lightning.callbacks:LearningRateMonitor", "_extract_stats"),
    ],
    Feature.SENDING: _names("multiprocessing.queues:Queue", "_on_queue_feeder_error"),
    Feature.SIGNALS: _names("trainer", "_signal_connector.register_signal_handlers"),
    Feature.TIMEOUT: _names("ddp", "_timeout"),
    Feature.METRIC_STATES: _names("metric", "_defaults _reductions _sync_dist _update_count"),
    Feature.AVERAGES: _names("averaging", "_average_model"),
    Feature.LAUNCHERS: _names(f"{_LAUNCHERS}:", "_MultiProcessingLauncher"),
    Feature.MONITORS: _names("early_stopping", "_check_on_train_epoch_end"),
    Feature.SEQUENCES: _names(
        "torch.export._patches:", "register_gru_while_loop_decomposition register_lstm_while_loop_decomposition"
    ),
    Feature.REPLAYS: [
        *_names("pytorch_lightning.utilities.exceptions:", "_TunerExitException"),
        *_names("pytorch_lightning.callbacks:LearningRateMonitor", "_find_names_from_schedulers"),
        *_names("pytorch_lightning.callbacks:LearningRateMonitor", "_find_names_from_optimizers"),
        *_names("module", "_compiled_call_impl"),
        *_names("trainer.fit_loop.epoch_loop", "_results"),
    ],
    Feature.SIGNATURES: _names("jsonargparse._parameter_resolvers:", "get_signature_parameters"),
}
_CHECKED_WHERE_USED = {Feature.REPLAYS}  # by `check_available`: most commands lose nothing
_unavailable: set[Feature] = set()


def is_available(feature: Feature) -> bool:
    """Return whether the last check found all private names of a feature."""
    return feature not in _unavailable


def check_available(*features: Feature) -> None:
    """Raise ConfigError if the last check did not find all private names of features that a command cannot do without.

    Args:
        features: the features.
    """
    for feature in features:
        if not is_available(feature):
            missing = join_names(PRIVATE_NAMES[feature])
            raise ConfigError(
                f"the installed libraries do not have all of {missing}: {feature.value}; install the versions of "
                "constraints.txt"
            )


def check_private_names(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Check that the private names exist in the installed versions; warn of what is lost without them.

    Raises:
        ConfigError: metrics cannot be gathered, and there are several processes.
    """
    owners = _owners(trainer, module)
    _unavailable.clear()
    for feature, names in PRIVATE_NAMES.items():
        missing = [name for name in names if not _exists(name, owners)]
        if not missing:
            continue
        _unavailable.add(feature)
        if feature in _CHECKED_WHERE_USED:
            continue
        message = f"the installed libraries do not have {join_names(missing)}: {feature.value}"
        if feature is Feature.METRIC_STATES and trainer.num_devices * trainer.num_nodes > 1:
            raise ConfigError(f"{message}\nInstall the versions of constraints.txt, or set trainer.devices to 1")
        logger.warning(f"{message}; install the versions of constraints.txt")


def _owners(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Return the objects whose attributes are checked: some are set by constructors, so classes lack them."""
    ddp = trainer.strategy if isinstance(trainer.strategy, DDPStrategy) else DDPStrategy()
    owners = {"metric": MeanMetric(), "averaging": WeightAveraging(), "early_stopping": EarlyStopping("sum")}
    return {"trainer": trainer, "module": module, "ddp": ddp, **owners}


def _exists(name: str, owners: Mapping[str, Any]) -> bool:
    owner, _, attribute = name.partition(".")
    try:
        if owner not in owners:
            resolve_name(name)
            return True
        path, _, last = attribute.rpartition(".")
        getattr_static(attrgetter(path)(owners[owner]) if path else owners[owner], last)  # calls no property
    except (AttributeError, ImportError):
        return False
    return True

"""Access to private names outside the loops, with a public alternative where there is one."""

import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.metadata import version
from multiprocessing.queues import Queue
from types import FrameType, SimpleNamespace
from typing import Any, NoReturn, get_type_hints

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.distributed.constants import default_pg_timeout
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from project.core.errors import ConfigError
from project.core.training.lightning_internals.names import Feature, is_available


def signature_parameters(cls: Callable[..., Any]) -> list[Any]:
    """Return the arguments of a class or function, including those that it passes on as `**kwargs`, with their docs.

    Raises:
        ConfigError: the installed jsonargparse cannot tell them.
    """
    try:
        from jsonargparse._parameter_resolvers import get_signature_parameters
    except ImportError as error:
        raise ConfigError(
            f"jsonargparse {version('jsonargparse')} is not supported; install the version of constraints.txt"
        ) from error
    found = get_signature_parameters(cls, None)
    for item in found:
        item.annotation = _with_metadata(item)
    return found


def _with_metadata(parameter: Any) -> Any:
    """Return an argument's annotation with the metadata of `Annotated`, which jsonargparse drops of a postponed one."""
    component = getattr(parameter.component, "__func__", parameter.component)
    written = getattr(component, "__annotations__", {}).get(parameter.name)
    if isinstance(written, str):
        with suppress(Exception):  # it may have names of a class, or those that are imported only for type checkers
            holder = SimpleNamespace(__annotations__={"it": written})
            names = getattr(inspect.unwrap(component), "__globals__", {})
            evaluated = get_type_hints(holder, names, include_extras=True)["it"]
            return evaluated if "Annotated[" in str(evaluated) else parameter.annotation
    return parameter.annotation


def should_log(trainer: pl.Trainer) -> bool:
    """Return whether the current training batch is logged (`trainer.log_every_n_steps`)."""
    if not is_available(Feature.STEP_LOGGING):
        return True  # `LightningModule.log` is called for each batch, and decides itself
    return bool(trainer._logger_connector.should_update_logs) and not trainer.fit_loop._should_accumulate()


def log_immediately(module: pl.LightningModule, values: dict[str, Tensor]) -> None:
    """Log values of the current training batch (see `StepLog`); `log_dict` takes a millisecond for each."""
    if not (is_available(Feature.STEP_LOGGING) and is_available(Feature.EXACT_LOOPS)):
        module.log_dict(values)
        return
    module.trainer.callback_metrics.update(values)
    module.trainer._logger_connector.log_metrics(values)


def log_to_loggers(trainer: pl.Trainer, values: dict[str, float]) -> None:
    """Log values to the loggers only, after the optimizer step; in a training batch, as one point with its others."""
    if is_available(Feature.STEP_LOGGING):
        trainer._logger_connector.log_metrics(values)  # type: ignore[arg-type]
        return
    for logger in trainer.loggers:
        logger.log_metrics(values, trainer.global_step)


def names_over_epoch(trainer: pl.Trainer) -> set[str]:
    """Return the names that `LightningModule.log` logs at the end of a training epoch."""
    metas = [each.meta for each in trainer.fit_loop.epoch_loop._results.values()]
    return {meta.forked_name(on_step=False) for meta in metas if meta.on_epoch}


def is_between_batches(trainer: pl.Trainer) -> bool:
    """Return whether the only process waits for a training batch that is not the first of its epoch."""
    loop: Any = trainer.fit_loop.epoch_loop
    progress = loop.batch_progress.current
    return trainer.world_size == 1 and trainer.training and not loop.done and 0 < progress.ready == progress.completed


@contextmanager
def state_after_batch(trainer: pl.Trainer) -> Iterator[None]:
    """In the `with` block, save the state at the end of the last batch, although the trainer waits for the next one."""
    if not is_available(Feature.EXACT_LOOPS):
        yield
        return
    trainer.fit_loop.epoch_loop._batches_that_stepped -= 1
    yield
    trainer.fit_loop.epoch_loop._batches_that_stepped += 1


def call_after_fetch(loop: Any, function: Callable[[], None]) -> None:
    """Have a loop call a function after each fetch of a batch, before the batch is moved to the device."""
    after_fetch = loop._on_after_fetch

    def call() -> None:
        after_fetch()
        function()

    loop._on_after_fetch = call


def disable_signal_handlers(trainer: pl.Trainer) -> None:
    """Keep Lightning from installing signal handlers: they wait for other processes, which may be busy."""
    if is_available(Feature.SIGNALS):
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def end_on_sigterm(trainer: pl.Trainer) -> None:
    """Have SIGTERM end what saves nothing at once; Lightning waits for the end of a batch, which may never come."""

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        if kill := getattr(trainer.strategy.launcher, "kill", None):
            kill(number)  # the processes that it started
        raise SIGTERMException

    def install() -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, end)

    if is_available(Feature.SIGNALS):
        trainer._signal_connector.register_signal_handlers = install  # type: ignore[method-assign]


def call_if_not_sent(function: Callable[[BaseException, Any], Any]) -> None:
    """In a DataLoader's worker, send the result of `function(error, batch)` instead of a batch that is not pickled.

    Python only prints such an error, and the main process waits for the batch forever.
    """

    def send(queue: Any, error: BaseException, item: tuple[Any, Any]) -> None:
        queue.put((item[0], function(error, item[1])))

    Queue._on_queue_feeder_error = send  # type: ignore[attr-defined]


def set_timeout(trainer: pl.Trainer, timeout: timedelta) -> None:
    """Set how long processes wait for each other, unless the yaml gives the strategy a timeout of its own."""
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy) and is_available(Feature.TIMEOUT) and strategy._timeout == default_pg_timeout:
        strategy._timeout = timeout


def copies_process(trainer: pl.Trainer) -> bool:
    """Return whether the strategy starts processes by a fork or spawn of this one."""
    if not is_available(Feature.LAUNCHERS):
        return False
    from pytorch_lightning.strategies.launchers.multiprocessing import _MultiProcessingLauncher

    return isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)


def uneven_list_states(metric: Metric) -> list[str]:
    """Return a metric's list states that torchmetrics would gather element by element.

    That needs lists of one length on all processes.
    """
    if type(metric)._sync_dist is not Metric._sync_dist:
        return []
    lists = [name for name, default in metric._defaults.items() if isinstance(default, list)]
    return [name for name in lists if metric._reductions[name] is not dim_zero_cat]


def restore_metric(metric: Metric, num_updates: int, states: dict[str, Any]) -> None:
    """Set the states of a metric, as after a number of updates."""
    for name, value in states.items():
        setattr(metric, name, value)
    metric._update_count = num_updates


def checks_at_epoch_end(early_stopping: EarlyStopping) -> bool:
    """Return whether the monitored value is read at the end of epochs, not after validations."""
    return not is_available(Feature.MONITORS) or bool(early_stopping._check_on_train_epoch_end)


def end_training() -> NoReturn:
    """End a training now: its teardown runs, but neither `on_train_end` nor `on_exception`, so that nothing is saved.

    Raises:
        ConfigError: the installed Lightning cannot.
    """
    try:
        from pytorch_lightning.utilities.exceptions import _TunerExitException
    except ImportError as error:
        raise ConfigError(
            f"pytorch-lightning {version('pytorch-lightning')} cannot end a replay; install the version "
            "of constraints.txt"
        ) from error
    raise _TunerExitException

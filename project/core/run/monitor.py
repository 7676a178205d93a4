"""The logged value that selects the best checkpoint."""

from project.core.config.settings import CheckpointSettings, EvaluationSettings
from project.core.errors import ConfigError


def resolve_monitor(
    settings: CheckpointSettings, evaluation: EvaluationSettings, val_names: list[str] | None
) -> str | None:
    """Return the logged value that selects the best checkpoint; None selects the last one.

    Args:
        settings: settings of checkpoints.
        evaluation: settings of the evaluation during training.
        val_names: names of the validation datasets, [''] for a single one; None if they are not known.

    Raises:
        ConfigError: there are several validation datasets and no monitor, or the monitored evaluation is disabled.
    """
    monitor = settings.monitor
    if str(monitor).startswith("eval/") and not evaluation.every_n_epochs:
        raise ConfigError(f"checkpoint.monitor is {monitor}, but evaluation.every_n_epochs is 0 (disabled)")
    if monitor is None and len(val_names or ()) > 1:
        sums = ", ".join(f"val/{name}/sum" for name in val_names or ())
        raise ConfigError(f"checkpoint.monitor must name a value of one validation dataset, such as one of {sums}")
    if monitor is None and val_names:
        return "/".join(filter(None, ("val", *val_names, "sum")))
    if monitor is not None and monitor.startswith("val/") and val_names == []:
        return None
    return monitor

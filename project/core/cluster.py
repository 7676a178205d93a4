"""Slurm and torchrun: how many processes a run has there, and whether they are those that the yaml says."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.strategies import Strategy

from project.core.errors import ConfigError

_INTERACTIVE = ("bash", "interactive")  # job names that Lightning takes for a shell
_NOT_YET = ("fsdp", "deepspeed", "modelparallel")


def arrange(trainer: dict[str, Any], environment: Mapping[str, str], trains: bool) -> None:
    """Fits the Trainer's arguments to the processes that Slurm or torchrun started.

    Args:
        trainer: the arguments, which are changed.
        environment: the variables of the process.
        trains: whether the stage is fit.

    Raises:
        ConfigError: the processes are not those that the yaml says, or not those that were meant.
    """
    strategy = trainer["strategy"]
    name = type(strategy).__name__ if isinstance(strategy, Strategy) else str(strategy)
    if name.lower().replace("_", "").startswith(_NOT_YET):
        raise ConfigError(
            f"trainer.strategy is {name}: nets that are split over devices are not supported yet; take ddp"
        )
    if "TORCHELASTIC_RUN_ID" in environment:
        local, nodes = environment["LOCAL_WORLD_SIZE"], environment.get("GROUP_WORLD_SIZE", "1")
        _set(trainer, int(local), int(nodes), "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "torchrun --nproc-per-node")
    elif "SLURM_JOB_ID" in environment:
        _fit_slurm(trainer, environment, trains)


def check_batch_norm(trainer: pl.Trainer, synchronized: bool) -> None:
    """Refuses batch statistics over several CPUs, which torch cannot gather.

    Raises:
        ConfigError: they are wanted.
    """
    if synchronized and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        raise ConfigError(
            "trainer.sync_batchnorm needs GPUs: torch's SyncBatchNorm does not work on "
            f"{trainer.world_size} CPU processes; leave it false"
        )


def _fit_slurm(trainer: dict[str, Any], environment: Mapping[str, str], trains: bool) -> None:
    tasks, nodes = int(environment.get("SLURM_NTASKS", "1")), int(environment.get("SLURM_NNODES", "1"))
    name, in_step = environment.get("SLURM_JOB_NAME", ""), "SLURM_STEP_ID" in environment
    if not in_step and (tasks > 1 or (trains and nodes > 1)):
        variable = f"SLURM_NTASKS is {tasks}" if tasks > 1 else f"SLURM_NNODES is {nodes}"
        raise ConfigError(
            f"{variable}, but python was not started by srun (there is no SLURM_STEP_ID): say `srun python cli.py ...`"
        )
    if tasks == 1 and (not in_step or name in _INTERACTIVE):  # a shell on a node, or a script: as on any machine
        _add_environment(trainer, LightningEnvironment())
        return
    if tasks > 1 and name in _INTERACTIVE:
        raise ConfigError(
            f"SLURM_JOB_NAME is {name}, which stands for a shell, but SLURM_NTASKS is {tasks}: give another --job-name"
        )
    local = environment.get("SLURM_NTASKS_PER_NODE")
    if tasks > 1 and local is None:
        raise ConfigError(
            f"SLURM_NTASKS is {tasks}, but SLURM_NTASKS_PER_NODE is not set: "
            "submit with --nodes and --ntasks-per-node, without --ntasks"
        )
    if trains and tasks != nodes * int(local or 1):
        raise ConfigError(
            f"SLURM_NTASKS is {tasks}, but SLURM_NNODES x SLURM_NTASKS_PER_NODE is {nodes} x {local}: "
            "submit with --nodes and --ntasks-per-node, without --ntasks"
        )
    if tasks == 1:
        nodes, local = 1, "1"
    _set(trainer, int(local or 1), nodes, "SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "sbatch --ntasks-per-node")
    # Lightning's own requeueing saves in a signal's handler, which may wait for another process for ever.
    _add_environment(trainer, SLURMEnvironment(auto_requeue=False) if tasks > 1 else LightningEnvironment())


def _add_environment(trainer: dict[str, Any], environment: ClusterEnvironment) -> None:
    plugins = trainer["plugins"] or []
    plugins = [*plugins] if isinstance(plugins, list) else [plugins]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        plugins.append(environment)
    trainer["plugins"] = plugins


def _set(trainer: dict[str, Any], local: int, nodes: int, of_local: str, of_nodes: str, option: str) -> None:
    devices = _count(trainer["devices"])
    if devices not in (None, local):
        raise ConfigError(
            f"trainer.devices is {trainer['devices']}, but {of_local} is {local}: "
            f"leave it auto, or say {option}={devices}"
        )
    if trainer["num_nodes"] not in (1, nodes):
        raise ConfigError(f"trainer.num_nodes is {trainer['num_nodes']}, but {of_nodes} is {nodes}: leave it 1")
    if not (isinstance(trainer["devices"], list) or "," in str(trainer["devices"])):
        trainer["devices"] = local
    trainer["num_nodes"] = nodes
    if local * nodes > 1 and trainer["strategy"] == "auto":
        trainer["strategy"] = "ddp"


def _count(devices: Any) -> int | None:
    """How many devices the yaml names; none where that is left open."""
    if devices in ("auto", -1, "-1", None):
        return None
    if isinstance(devices, list):
        return len(devices)
    names = [name for name in str(devices).split(",") if name.strip()]
    if not all(name.strip().isdigit() for name in names):
        raise ConfigError(
            f"trainer.devices is {devices!r}; it must be auto, how many there are, or a list of their numbers"
        )
    return len(names) if "," in str(devices) else int(names[0])


def restarts(environment: Mapping[str, str]) -> int:
    """How often Slurm has started this job again."""
    return int(environment.get("SLURM_RESTART_COUNT", "0"))


def task_name(name: str, environment: Mapping[str, str]) -> str:
    """The run's name: each task of an array has its own."""
    task = environment.get("SLURM_ARRAY_TASK_ID")
    return name if task is None else f"{name}_{task}"

"""Slurm and torchrun: the number of processes that they started, checked against the yaml, and their restarts."""

import os
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from loguru import logger

from project.core.errors import ConfigError
from project.core.installation import COMMAND

_INTERACTIVE = ("bash", "interactive")  # job names by which Lightning recognizes a shell


def apply_cluster(trainer: dict[str, Any], environment: Mapping[str, str], is_fit: bool) -> None:
    """Set the Trainer's arguments to the processes that Slurm or torchrun started.

    Args:
        trainer: the arguments, which are changed.
        environment: environment variables.
        is_fit: whether the stage is fit.

    Raises:
        ConfigError: the processes contradict the yaml, or were started in a way that a run does not support.
    """
    _parse_devices(trainer["devices"])  # Lightning's message about a wrong value does not name it
    if "TORCHELASTIC_RUN_ID" in environment:
        local, nodes = environment["LOCAL_WORLD_SIZE"], environment.get("GROUP_WORLD_SIZE", "1")
        names = ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "torchrun --nproc-per-node")
        _warn_of_shared_store(environment)
        _set_processes(trainer, int(local), int(nodes), *names)
    elif "SLURM_JOB_ID" in environment:
        _apply_slurm(trainer, environment, is_fit)
    elif is_fit and not trainer["plugins"]:
        _check_no_launcher(trainer, environment)


def check_sync_batchnorm(trainer: pl.Trainer, is_enabled: bool) -> None:
    """Raise ConfigError if batch statistics are to be synchronized over CPU processes, which torch cannot do."""
    if is_enabled and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        raise ConfigError(
            "trainer.sync_batchnorm needs GPUs: torch's SyncBatchNorm does not work on "
            f"{trainer.world_size} CPU processes; set it to false"
        )


def restart_count(environment: Mapping[str, str]) -> int:
    """Return how often Slurm has restarted this job, or torchrun its processes."""
    return sum(int(environment.get(name, "0")) for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))


def job_record(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the name of a file for a run directory, and the job's line in it; None if nothing identifies it.

    The line is the same after a restart, and another one for another job. torchrun's run id is "none" by default, so
    the process that is torchrun counts as well; on several nodes there are several, so such a job has no line.
    """
    if "SLURM_JOB_ID" in environment:
        return "slurm.txt", environment["SLURM_JOB_ID"]
    if "TORCHELASTIC_RUN_ID" not in environment:
        return None
    is_one_node = environment.get("GROUP_WORLD_SIZE", "1") == "1"
    if not is_one_node and environment["TORCHELASTIC_RUN_ID"] == "none":
        return None
    process = [str(os.getppid())] if is_one_node else []
    return "torchrun.txt", "-".join([*environment["TORCHELASTIC_RUN_ID"].split(), *process])


def array_task_name(name: str, environment: Mapping[str, str]) -> str:
    """Return the name of a run; each task of a Slurm array gets its own."""
    task = environment.get("SLURM_ARRAY_TASK_ID")
    return name if task is None else f"{name}_{task}"


def _warn_of_shared_store(environment: Mapping[str, str]) -> None:
    """Warn if torchrun's restarted processes would use the store of those before, whose keys make them wait forever."""
    restarts = int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0"))
    if restarts > 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        logger.warning(
            f"torchrun --max-restarts={restarts}: restarted processes will hang; "
            "start it as `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun ...`"
        )


def _check_no_launcher(trainer: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Refuse what only a launcher starts: else a run trains as one process, or waits for others forever."""
    if int(environment.get("WORLD_SIZE", "1")) > 1 and "RANK" in environment:
        raise ConfigError(
            f"RANK is {environment['RANK']} and WORLD_SIZE {environment['WORLD_SIZE']}, but torchrun did not set them; "
            "start with `torchrun --nproc-per-node N cli.py ...`, or unset them"
        )
    if trainer["num_nodes"] > 1 and not environment.keys() & {"NODE_RANK", "GROUP_RANK", "LSB_JOBID"}:
        raise ConfigError(
            f"trainer.num_nodes is {trainer['num_nodes']}, but nothing says which of the machines this is; start with "
            "srun or torchrun, or set NODE_RANK and MASTER_ADDR on each"
        )


def _apply_slurm(trainer: dict[str, Any], environment: Mapping[str, str], is_fit: bool) -> None:
    tasks, nodes = int(environment.get("SLURM_NTASKS", "1")), int(environment.get("SLURM_NNODES", "1"))
    name, in_step = environment.get("SLURM_JOB_NAME", ""), "SLURM_STEP_ID" in environment
    if not in_step and (tasks > 1 or (is_fit and nodes > 1)):
        variable = f"SLURM_NTASKS is {tasks}" if tasks > 1 else f"SLURM_NNODES is {nodes}"
        raise ConfigError(
            f"{variable}, but python was not started by srun (SLURM_STEP_ID is not set); use `srun {COMMAND} ...`"
        )
    if tasks == 1 and (not in_step or name in _INTERACTIVE):  # a shell on a node, or a script: as on any machine
        _add_environment(trainer, LightningEnvironment())
        return
    if tasks > 1 and name in _INTERACTIVE:
        raise ConfigError(
            f"SLURM_JOB_NAME is {name}, as of a shell, but SLURM_NTASKS is {tasks}; use another --job-name"
        )
    local = environment.get("SLURM_NTASKS_PER_NODE")
    if tasks > 1 and local is None:
        raise ConfigError(
            f"SLURM_NTASKS is {tasks}, but SLURM_NTASKS_PER_NODE is not set; "
            "submit with --nodes and --ntasks-per-node, without --ntasks"
        )
    if is_fit and tasks != nodes * int(local or 1):
        raise ConfigError(
            f"SLURM_NTASKS is {tasks}, but SLURM_NNODES x SLURM_NTASKS_PER_NODE is {nodes} x {local}; "
            "submit with --nodes and --ntasks-per-node, without --ntasks"
        )
    if tasks == 1:
        nodes, local = 1, "1"
    names = ("SLURM_NTASKS_PER_NODE", "SLURM_NNODES", "sbatch --ntasks-per-node")
    _set_processes(trainer, int(local or 1), nodes, *names)
    # Lightning's own requeueing saves in a signal handler, which may wait for another process forever.
    _add_environment(trainer, SLURMEnvironment(auto_requeue=False) if tasks > 1 else LightningEnvironment())


def _add_environment(trainer: dict[str, Any], environment: ClusterEnvironment) -> None:
    plugins = trainer["plugins"] or []
    plugins = [*plugins] if isinstance(plugins, list) else [plugins]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        plugins.append(environment)
    trainer["plugins"] = plugins


def _set_processes(
    trainer: dict[str, Any], local: int, nodes: int, local_name: str, nodes_name: str, option: str
) -> None:
    devices = _parse_devices(trainer["devices"])
    if devices not in (None, local):
        raise ConfigError(
            f"trainer.devices is {trainer['devices']}, but {local_name} is {local}; "
            f"set it to auto, or use {option}={devices}"
        )
    if trainer["num_nodes"] not in (1, nodes):
        raise ConfigError(f"trainer.num_nodes is {trainer['num_nodes']}, but {nodes_name} is {nodes}; set it to 1")
    if not (isinstance(trainer["devices"], list) or "," in str(trainer["devices"])):
        trainer["devices"] = local
    trainer["num_nodes"] = nodes
    if local * nodes > 1 and trainer["strategy"] == "auto":
        trainer["strategy"] = "ddp"


def _parse_devices(devices: object) -> int | None:
    """Return the number of devices in the yaml; None for auto."""
    if devices in ("auto", -1, "-1", None):
        return None
    if isinstance(devices, list):
        return len(devices)
    names = [name for name in str(devices).split(",") if name.strip()]
    if not names or not all(name.strip().isdigit() for name in names):
        raise ConfigError(f"trainer.devices is {devices!r}; it must be auto, a number, or a list of indices")
    return len(names) if "," in str(devices) else int(names[0])

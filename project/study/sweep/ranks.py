"""Several processes that train each run together, as srun or torchrun started them.

Rank 0 claims the runs. It announces each stage in a store, and every rank, this one included, runs the stage in a
process of its own.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import DistError
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from project.core.distributed.cluster import apply_cluster, restart_count
from project.core.distributed.signals import PREEMPTED
from project.core.errors import ConfigError, RunStopped
from project.core.run.pruning import Pruning
from project.study.sweep.process import Children, run_in_child

_POLL = 0.05  # seconds
_START = timedelta(minutes=10)  # for which a process waits until the others have started
# Seconds for which a process whose peer failed may go on: it notices by itself, and logs why it ends.
_GRACE = 15.0
_LAST_WAIT = 5.0  # seconds for which a process waits until the others tell, or know, that a stage or the sweep ends


class Ranks:
    """The processes of this job.

    Args:
        store: shared by them, empty at the start.
        rank: of this process.
        size: number of processes.

    Example::

        ranks = connect_ranks(os.environ)
        if ranks is not None and ranks.rank > 0:
            code = ranks.follow(children)
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self._numbers = count()

    def lead(self, work: Callable[[], int]) -> int:
        """Call a function on rank 0, which runs stages on all ranks; return its exit code, with which all end."""
        code = 1
        try:
            code = work()
            return code
        finally:
            self._announce(next(self._numbers), {"code": code})
            limit = time.monotonic() + _LAST_WAIT
            # The store ends with this process.
            while self.store.add("told", 0) < self.size - 1 and time.monotonic() < limit:
                time.sleep(_POLL)

    def run(self, argv: list[str], log: Path, pruning: Pruning | None, children: Children) -> int:
        """Run a stage on all ranks, called on rank 0; return its exit code, as `run_stage` does."""
        number = next(self._numbers)
        task = {"argv": argv, "log": str(log.absolute()), "port": _free_port(), "prunes": pruning is not None}
        self._announce(number, task)
        return self._take_part(number, task, pruning, children)

    def follow(self, children: Children) -> int:
        """Run the stages that rank 0 announces, until it ends; return the exit code.

        Raises:
            RunStopped: rank 0 ended without saying so.
        """
        try:
            while True:
                number = next(self._numbers)
                task = self._receive(number)
                if "code" in task:
                    self.store.add("told", 1)
                    return int(task["code"])
                self._take_part(number, task, _DecidedElsewhere() if task["prunes"] else None, children)
        except DistError as error:
            raise RunStopped(f"the first process of the sweep ended: {error}") from error

    def _announce(self, number: int, task: Mapping[str, Any]) -> None:
        self.store.set(f"{number}/task", json.dumps(task))

    def _receive(self, number: int) -> Any:
        key = f"{number}/task"
        while not self.store.check([key]):  # waiting in the store would delay the handlers of signals
            time.sleep(_POLL)
        return json.loads(self.store.get(key))

    def _take_part(self, number: int, task: Mapping[str, Any], pruning: Pruning | None, children: Children) -> int:
        """Run a stage in a process of this rank; return the exit code of the stage when all ranks have ended."""
        environment = {"MASTER_PORT": str(task["port"])}
        if "TORCHELASTIC_RUN_ID" in os.environ:  # its store would have the keys of other runs
            environment["TORCHELASTIC_USE_AGENT_STORE"] = "False"
        process = children.start(run_in_child, task["argv"], Path(task["log"]), pruning, environment)
        deadline: float | None = None
        while (code := children.poll(process)) is None:
            if self.store.add(f"{number}/failed", 0):
                deadline = deadline or time.monotonic() + _GRACE
                if time.monotonic() > deadline:
                    children.kill(process)
            time.sleep(_POLL)
        self._tell(number, code)
        while self.store.add(f"{number}/ended", 0) < self.size:
            if self.store.add(f"{number}/failed", 0):
                deadline = deadline or time.monotonic() + _GRACE
                if time.monotonic() > deadline + _LAST_WAIT:  # by then, its sweep has killed it and told so
                    raise RunStopped("another process of the sweep ended without saying so")
            time.sleep(_POLL)
        if self.store.add(f"{number}/failed", 0):
            return int(self.store.get(f"{number}/code"))
        return PREEMPTED if self.store.add(f"{number}/preempted", 0) else 0

    def _tell(self, number: int, code: int) -> None:
        if code == PREEMPTED:
            self.store.add(f"{number}/preempted", 1)
        elif code:
            self.store.compare_set(f"{number}/code", "", str(code))  # the code of the rank that failed first
            self.store.add(f"{number}/failed", 1)
        self.store.add(f"{number}/ended", 1)


class _DecidedElsewhere:
    """Pruning of a rank that is told what rank 0 decides."""

    def reports(self, step: int, value: float) -> str | None:
        raise AssertionError("only rank 0 decides")


def connect_ranks(environment: Mapping[str, str], jobs: int) -> Ranks | None:
    """Connect the processes that train each run together; return None if this one trains alone.

    Args:
        environment: environment variables.
        jobs: number of workers of this command.

    Raises:
        ConfigError: they were started in a way that a run does not support.
    """
    cluster = _find_cluster(environment)
    if cluster is None:
        return None
    if jobs > 1:
        raise ConfigError(
            f"--jobs is for runs of one process each, but {cluster.world_size()} were started for each run\n"
            "Start several workers, as tasks of an array: sbatch --array=0-7 scripts/sweep.sh ..."
        )
    rank, size = cluster.global_rank(), cluster.world_size()
    url = f"tcp://{cluster.main_address}:{cluster.main_port}?rank={rank}&world_size={size}"
    store, _, _ = next(rendezvous(url, timeout=_START))
    return Ranks(PrefixStore(f"sweep/{restart_count(environment)}", store), rank, size)


def _find_cluster(environment: Mapping[str, str]) -> ClusterEnvironment | None:
    # The same checks as in a run, before the first run is claimed.
    apply_cluster({"devices": "auto", "num_nodes": 1, "plugins": None, "strategy": "auto"}, environment, is_fit=True)
    if "TORCHELASTIC_RUN_ID" in environment:
        return TorchElasticEnvironment() if int(environment["WORLD_SIZE"]) > 1 else None
    return SLURMEnvironment(auto_requeue=False) if int(environment.get("SLURM_NTASKS", "1")) > 1 else None


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("", 0))
        port: int = opened.getsockname()[1]
        return port

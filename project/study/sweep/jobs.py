"""The workers of one command: their shares of the machine, and what is said at the end."""

import os
import shlex
import signal
import time
from collections import Counter
from dataclasses import dataclass, replace

import torch
from loguru import logger

from project.core.distributed.signals import PREEMPTED
from project.core.errors import ConfigError, show_value
from project.core.installation import COMMAND
from project.study.sweep.digest import describe_changes, digest_code, digest_data
from project.study.sweep.directory import DONE, HAS_LOCKS
from project.study.sweep.process import Children
from project.study.sweep.processors import THREADS, num_threads, processors
from project.study.sweep.ranks import Ranks
from project.study.sweep.warm_up import warm_up
from project.study.sweep.worker import CTRL_C, Sweep, Worker

_POLL = 0.1  # seconds
_MAX_DEATHS = 10  # of workers; more have a reason that a further one does not mend


@dataclass(frozen=True)
class Share:
    """Share of the machine for one of several workers.

    Args:
        processors: the processors that it runs on.
        gpu: index or name of its GPU as in CUDA_VISIBLE_DEVICES; None without GPUs.
    """

    processors: tuple[int, ...]
    gpu: str | None


def parse_jobs(text: str) -> int:
    """Return the number of workers.

    Raises:
        ConfigError: it is not one, or several could not agree on who trains which run.
    """
    if not (text.isdecimal() and int(text) > 0):
        raise ConfigError(f"--jobs is {show_value(text)}; it takes the number of runs that train at a time, such as 2")
    if int(text) > 1 and not HAS_LOCKS:
        raise ConfigError("--jobs needs locks of files, which this system does not have; use --jobs 1")
    return int(text)


def run_workers(sweep: Sweep, jobs: int, retry_failed: bool, children: Children, ranks: Ranks | None = None) -> int:
    """Train the runs of a sweep with workers of this machine, until none is left that another worker does not hold.

    Args:
        sweep: the sweep.
        jobs: number of workers.
        retry_failed: whether failed runs are started again.
        children: passes signals on to the runs; it may have received one.
        ranks: the processes that train each run, this one included; None for this one alone.

    Returns:
        The exit code: 0 if no run has failed, 1 if one has, 75 or 130 if a signal stopped the workers.
    """
    if ranks is None:
        return _work_all(sweep, children, jobs, retry_failed)
    if ranks.rank > 0:
        warm_up(sweep.experiment)
        return ranks.follow(children)
    return ranks.lead(lambda: _work_all(sweep, children, jobs, retry_failed, ranks))


def _work_all(sweep: Sweep, children: Children, jobs: int, retry_failed: bool, ranks: Ranks | None = None) -> int:
    sweep = replace(sweep, digests={"code": digest_code(), "data": digest_data(sweep.experiment)})
    _prepare(sweep, retry_failed)
    warm_up(sweep.experiment)
    code = Worker(sweep, children, ranks).work() if jobs == 1 else _supervise(sweep, children, jobs)
    failed = _summarize(sweep)
    if code in (PREEMPTED, CTRL_C):
        logger.warning("stopped by a signal; the same command continues the sweep")
        return code
    return max(code, int(failed > 0))


def shares(jobs: int) -> list[Share]:
    """Return the shares of workers: equally many processors, and the GPUs in turn."""
    available, count, gpus = processors(), num_threads(jobs), _visible_gpus()
    return [
        Share(
            tuple(available[(job * count + each) % len(available)] for each in range(count)),
            gpus[job % len(gpus)] if gpus else None,
        )
        for job in range(jobs)
    ]


def _visible_gpus() -> list[str]:
    """Return the GPUs that may be used, without using one: this process forks."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]  # asks the driver's NVML


def _prepare(sweep: Sweep, retry_failed: bool) -> None:
    """Say which runs are kept although code or data have changed, and let failed runs be started again."""
    directory = sweep.directory
    with directory.locked():
        states = [(run, directory.state(run)) for run in sweep.runs()]
        for run, state in states:
            if retry_failed and state == "failed":
                directory.forget_failure(run)
    kept = [run for run, state in states if state in ("finished", "pruned")]
    if changes := describe_changes(map(directory.digests, kept), sweep.digests):
        logger.warning(
            f"{directory.path}: finished runs that differ from what would be trained now: {changes}; they are kept\n"
            "To train them again, remove their directories, or give the sweep another name"
        )


def _supervise(sweep: Sweep, children: Children, jobs: int) -> int:
    """Run several workers, and replace those that end without an exit code of their own; return the worst code."""
    parts = shares(jobs)
    workers = {children.start(_work, sweep, part): part for part in parts}
    worst, deaths = 0, 0
    while workers:
        time.sleep(_POLL)
        for process in [*workers]:
            code = children.poll(process)
            if code is None:
                continue
            part = workers.pop(process)
            if code >= 0 or children.number:
                worst = max(worst, code)
                continue
            deaths, worst = deaths + 1, 1 if deaths == _MAX_DEATHS else worst
            is_replaced = deaths <= _MAX_DEATHS
            then = "another one takes its place" if is_replaced else "use fewer --jobs"
            logger.error(f"a worker was killed by {signal.Signals(-code).name}; {then}")
            if is_replaced:
                workers[children.start(_work, sweep, part)] = part
    return _stop_code(children.number) or worst


def _work(sweep: Sweep, share: Share) -> int:
    children = Children()
    children.install()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share.processors)
    if THREADS not in os.environ:  # see processors.py; this process was not started by cli.py
        os.environ[THREADS] = str(len(share.processors))
        torch.set_num_threads(len(share.processors))
    if share.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = share.gpu
    return Worker(sweep, children).work()


def _stop_code(number: int) -> int:
    return 0 if not number else CTRL_C if number == signal.SIGINT else PREEMPTED


def _summarize(sweep: Sweep) -> int:
    """Log how many runs ended how; return the number of failed ones."""
    trials = [[sweep.directory.state(run) for run in sweep.runs_of(trial)] for trial in sweep.trials.known()]
    counts = Counter(state for states in trials for state in states)
    unneeded = sum(state not in DONE for states in trials if "pruned" in states for state in states)
    total, done = sum(counts.values()) + sweep.count_undrawn(), sum(counts[state] for state in DONE) + unneeded
    parts = [f"{counts[state]} {state}" for state in DONE if counts[state]]
    parts += [f"{unneeded} of pruned trials not started"] if unneeded else []
    parts += [f"{total - done} not done or held by other workers"] if total > done else []
    advice = "; --retry_failed starts failed runs again" if counts["failed"] else ""
    path, plural = sweep.directory.path, "s" * (total != 1)
    logger.log("ERROR" if counts["failed"] else "INFO", f"{total} run{plural} in {path}: {', '.join(parts)}{advice}")
    if counts["finished"]:
        shown = shlex.quote(str(path))
        logger.info(f"next: {COMMAND} table {shown}; {COMMAND} report {shown}")
    return counts["failed"]

"""The largest batch size whose training step fits in memory."""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import sized_len
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.data import extract_batch_size

from project.core.cli.main import report_error
from project.core.config.yaml_files import Tree, merge_all
from project.core.console import print_text
from project.core.data.datamodule import DataModule
from project.core.distributed.signals import die_with_parent
from project.core.errors import ConfigError, RunStopped, causes, find_cause, message_of, user_message
from project.core.log import logging_to_console
from project.study.find.memory import limit_memory, status_bytes
from project.study.find.short_training import ShortTraining

_MIN_STEPS, _MAX_STEPS = 2, 20  # the optimizer allocates its state in the first
_SECONDS = 0.5  # of steps, after which no more are timed
_PRECISION = 16  # the result is at most by this part too small
# All batches are whole and have an optimizer step.
_TRAINER: Tree = {"accumulate_grad_batches": 1, "limit_train_batches": 1.0, "overfit_batches": 0.0}
# Matched: what torch, oneDNN and C++ say when an allocation fails.
_NO_MEMORY = re.compile("allocate memory|out of memory|not enough memory|bad_alloc|could not create a primitive", re.I)
_HEADER = f"{'batch size':>10}   {'memory':>8}   {'seconds per sample':>18}\n"


@dataclass(frozen=True)
class Attempt:
    """What a training with a batch size said.

    Args:
        size: the batch size.
        problem: why it cannot be used; empty if it fits.
        code: exit code for an error that has nothing to do with the size and was reported; 0 if there was none.
        memory: most bytes that the training took; 0 if they are not known.
        seconds: time of a training step per sample, without loading.
        samples: size of the training set; None if it is not known.
    """

    size: int
    problem: str = ""
    code: int = 0
    memory: int = 0
    seconds: float = 0.0
    samples: int | None = None


class StepTimer(Callback):
    """Callback that times training steps, and ends the training after some.

    On the CPU, the training may not take more memory than is free when it starts.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.largest = 0  # number of samples in the largest batch of a data module of the user's own
        self._start = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if pl_module.device.type == "cpu":
            limit_memory()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        if not isinstance(trainer.datamodule, DataModule):  # type: ignore[attr-defined]
            self.largest = max(self.largest, extract_batch_size(batch))
        self._start = self._now()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.seconds.append(self._now() - self._start)
        count = len(self.seconds)
        trainer.should_stop = count >= _MIN_STEPS and (sum(self.seconds) >= _SECONDS or count == _MAX_STEPS)

    def _now(self) -> float:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()


def find_batch_size(tree: Tree) -> int:
    """Print the largest batch size that fits, and the one with the least time per sample; return the exit code.

    Args:
        tree: the merged yaml files and options.

    Raises:
        ConfigError: the yaml has a mistake.
        RunStopped: not even one sample fits.
    """
    attempts: list[Attempt] = []

    def fits(size: int) -> bool:
        attempt = _try_in_child(tree, size, is_first=not attempts)
        attempts.append(attempt)
        if attempt.code:
            raise _ReportedError
        if len(attempts) == 1:
            print_text(_HEADER)
        text = attempt.problem or f"{_show_memory(attempt.memory)}   {attempt.seconds:18.3g}"
        print_text(f"{size:>10}   {text}\n")
        return not attempt.problem

    try:
        largest = search_sizes(fits, lambda: attempts[0].samples)
    except _ReportedError:
        return attempts[-1].code
    if not largest:
        raise RunStopped("not even a batch of one sample fits in memory; use a smaller model or smaller samples")
    fastest = min((each for each in attempts if not each.problem), key=lambda each: each.seconds)
    whole = ", the whole training set" if largest == attempts[0].samples else ""
    print_text(f"largest that fits{whole}: --data.batch_size {largest}\n")
    print_text(f"least time per sample: --data.batch_size {fastest.size}\n")
    return 0


def search_sizes(fits: Callable[[int], bool], bound: Callable[[], int | None]) -> int:
    """Return the largest batch size that fits: powers of two, then bisection between the last two; 0 if none fits.

    Args:
        fits: tries a size.
        bound: returns the largest size that is tried, None for any; called after the first was.
    """
    low, high = 0, 2  # 0 fits, `high` is tried next; layers such as batch norm refuse a batch of one sample
    while high > low and fits(high):
        low = high
        high = min(2 * high, bound() or 2 * high)
    while high - low > max(1, low // _PRECISION):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


class _ReportedError(Exception):
    """An error of the user's code, or a mistake in the yaml, which the child has reported."""


def _try_in_child(tree: Tree, size: int, is_first: bool) -> Attempt:
    """Train a few steps in a forked process, whose memory Linux frees whatever happens."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            _answer(pipe, tree, size, is_first)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if answer:
        return Attempt(**json.loads(answer))
    if status == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    return Attempt(size, f"does not fit in memory (the process ended with {status})")


def _answer(pipe: BinaryIO, tree: Tree, size: int, is_first: bool) -> None:
    """Write how the training with a batch size went; nothing if it ends in another way, such as by a signal."""
    die_with_parent()
    try:
        with logging_to_console("ERROR"):
            attempt = _try(tree, size, is_first)
    except KeyboardInterrupt:
        os._exit(128 + signal.SIGINT)  # the parent reports it
    pipe.write(json.dumps(asdict(attempt)).encode())


def _try(tree: Tree, size: int, is_first: bool) -> Attempt:
    timer = StepTimer()
    try:
        before = status_bytes("VmRSS") if sys.platform == "linux" else 0
        own: Tree = {"data": {"batch_size": size}, "trainer": _TRAINER}
        training = ShortTraining(merge_all([tree, own]), timer)
        if isinstance(training.datamodule, DataModule):
            training.datamodule.num_workers = 0  # workers would load batches that are never trained on
        training.run()
        peak = torch.cuda.max_memory_reserved() if torch.cuda.is_initialized() else status_bytes("VmHWM") - before
    except Exception as error:
        if isinstance(error, MemoryError) or any(_NO_MEMORY.search(message_of(each)) for each in causes(error)):
            return Attempt(size, "does not fit in memory")
        if (mistake := find_cause(error, ConfigError)) and not is_first:
            return Attempt(size, user_message(mistake).splitlines()[0])  # such as a dataset with fewer samples
        return Attempt(size, code=report_error(error))
    steps, data = timer.seconds[1:], training.datamodule
    if timer.largest < size and not isinstance(data, DataModule):  # whose batches are whole, unless collate drops some
        return Attempt(size, f"the largest batch of the training set has {timer.largest} samples")
    samples = sized_len(data.training_set()) if is_first and isinstance(data, DataModule) else None
    return Attempt(size, memory=peak, seconds=min(steps) / size, samples=samples)


def _show_memory(count: int) -> str:
    return f"{count / 1e6:5.0f} MB" if count < 1e9 else f"{count / 1e9:5.1f} GB"

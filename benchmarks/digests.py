"""Cost of digests: steps of configs/digits.yaml, and of a perceptron with 25 million parameters.

In one training each, blocks of steps without digests and with each setting alternate, so that changes in the speed of
the machine affect all of them. Prints the median of the CPU time of a step, the median and the range of its ratios to
that of the block without digests in the same round, and the time in the recorder's hooks alone, which varies less.

    python -m benchmarks.digests --threads 1
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.checkpointing import WIDTHS
from benchmarks.common import CONFIG, arguments, report, write_pictures
from project.core.cli.main import main
from project.core.config.settings import DigestSettings
from project.core.training.digests.recorder import DigestRecorder

SETTINGS = {
    "no digests": DigestSettings(parameters=0),
    "parameters: 100": DigestSettings(parameters=100),
    "parameters: 10": DigestSettings(parameters=10),
    "parameters: 1": DigestSettings(parameters=1),
    "all: 1": DigestSettings(parameters=0, all=1),
}


class TimedRecorder(DigestRecorder):
    """DigestRecorder that adds up the CPU time of its hooks, in seconds."""

    seconds = 0.0

    def on_train_batch_start(self, *arguments: Any) -> None:
        self._add_time(super().on_train_batch_start, *arguments)

    def on_train_batch_end(self, *arguments: Any) -> None:
        self._add_time(super().on_train_batch_end, *arguments)

    def _before_backward(self, *arguments: Any) -> None:
        self._add_time(super()._before_backward, *arguments)

    def _after_step(self, *arguments: Any) -> None:
        self._add_time(super()._after_step, *arguments)

    def _add_time(self, hook: Callable[..., None], *arguments: Any) -> None:
        start = time.thread_time()
        hook(*arguments)
        self.seconds += time.thread_time() - start


class Alternating(pl.Callback):
    """Callback that passes hooks on to a recorder of each setting in turn, for a block of steps.

    Args:
        block: steps in a block; a multiple of 100.
    """

    last: "Alternating"

    def __init__(self, block: int) -> None:
        Alternating.last = self
        self.block, self.folder = block, tempfile.TemporaryDirectory()
        paths = (Path(self.folder.name) / f"{number}.bin" for number in range(len(SETTINGS)))
        self.recorders = [TimedRecorder(path, each) for path, each in zip(paths, SETTINGS.values(), strict=True)]
        self.times: list[float] = []  # seconds per step of each block
        self.shares: list[float] = []  # seconds per step in the hooks of the recorder

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for recorder in self.recorders:
            recorder.on_train_start(trainer, pl_module)

    def on_train_batch_start(self, trainer: pl.Trainer, *others: Any) -> None:
        if trainer.global_step % self.block == 0:
            self.active = self.recorders[trainer.global_step // self.block % len(self.recorders)]
            self.start, self.active.seconds = time.process_time(), 0.0
        self.active.on_train_batch_start(trainer, *others)

    def on_before_backward(self, trainer: pl.Trainer, *others: Any) -> None:
        if self.active.settings.all:
            self.active.on_before_backward(trainer, *others)

    def on_train_batch_end(self, trainer: pl.Trainer, *others: Any) -> None:
        self.active.on_train_batch_end(trainer, *others)
        if trainer.global_step % self.block == 0:
            self.times.append((time.process_time() - self.start) / self.block)
            self.shares.append(self.active.seconds / self.block)

    def teardown(self, *_: object, **__: object) -> None:
        for recorder in self.recorders:
            recorder.teardown()


def train(name: str, options: list[str], block: int, rounds: int) -> None:
    """Train with a configuration, and print what each setting costs."""
    with tempfile.TemporaryDirectory() as root:
        steps = block * len(SETTINGS) * (rounds + 1)  # the first round is a warm-up
        argv = ["fit", *options, "--root", root, "--trainer.max_steps", str(steps), "--trainer.max_epochs", "-1"]
        argv += ["--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "0", "--log_level", "ERROR"]
        argv += ["--trainer.enable_checkpointing", "false", "--trainer.enable_progress_bar", "false"]
        argv += ["--trainer.callbacks", f"[{{type: benchmarks.digests.Alternating, block: {block}}}]"]
        assert main(argv) == 0
    count = len(SETTINGS)
    times, shares = Alternating.last.times[count:], Alternating.last.shares[count:]
    plain = times[::count]
    for number, setting in enumerate(SETTINGS):
        own = times[number::count]
        ratios = sorted(100 * (mine / other - 1) for mine, other in zip(own, plain, strict=True))
        cost = f"{statistics.median(ratios):+6.2f} % ({ratios[0]:+.2f} to {ratios[-1]:+.2f})" if number else ""
        hooks = statistics.median(shares[number::count])
        share = 100 * hooks / (statistics.median(own) - hooks)
        line = f"{name:<15} {setting:<15} {1e6 * statistics.median(own):7.0f} us per step"
        report(f"{line}; hooks {1e6 * hooks:6.1f} us, {share:5.2f} %  {cost}")


def measure(rounds: int) -> None:
    """Print the costs on both configurations."""
    train("digits", ["--config", str(CONFIG.with_name("digits.yaml"))], 200, rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npz"
        write_pictures(path)
        options = ["--config", str(CONFIG), "--data.train.path", str(path), "--data.batch_size", "32"]
        train("25 M parameters", [*options, "--model.net.hidden", str(WIDTHS)], 100, rounds)


if __name__ == "__main__":
    from benchmarks import digests  # not as __main__: the yaml names the callback by this module

    digests.measure(arguments(__doc__).rounds)

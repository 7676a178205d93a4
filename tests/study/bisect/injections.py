"""Differences that are injected into runs, and what must be found of each."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from project.core.cli.main import main
from project.core.cli.stages import StageCLI
from project.study.bisect import worker
from project.study.bisect.process import ReplayFailed, Request
from project.study.events import read_curves
from tests.conftest import CONFIGS
from tests.study.bisect import components
from tests.study.bisect.components import Branching, Points

STEPS, BATCHES = 30, 6  # of a run, and of an epoch
KINDS = ("parameter", "buffer", "optimizer", "average", "gradient", "data", "order", "seed", "lr", "code")
_PATH = components.__name__


def config(root: Path, **settings: Any) -> dict[str, Any]:
    """Return the yaml of a run of 30 steps in five epochs."""
    return {
        "base": str(CONFIGS / "default.yaml"),
        "name": "a",
        "root": str(root),
        "log_level": "ERROR",
        "model": {
            "net": {"type": f"{_PATH}.Net"},
            "loss": {"entropy": {"type": f"{_PATH}.Branching"}},
            "optimizer": {"type": "AdamW", "lr": 0.01},
            "ema": 0.9,
        },
        "data": {"batch_size": 8, "num_workers": 0, "train": {"type": f"{_PATH}.Points"}},
        "checkpoint": {"monitor": None},
        "trainer": {
            "max_epochs": STEPS // BATCHES,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "enable_model_summary": False,
            "enable_progress_bar": False,
        },
        **settings,
    }


def train(root: Path, name: str, *options: str, callback: Callback | None = None, **settings: Any) -> Path:
    """Train a run, with a callback that its configuration does not contain."""
    root.mkdir(exist_ok=True)
    file = root / "config.yaml"
    file.write_text(yaml.safe_dump(config(root, **settings), sort_keys=False))
    with with_callback(callback):
        assert main(["fit", "--config", str(file), "--name", name, *options]) == 0
    return root / name


@contextmanager
def with_callback(callback: Callback | None) -> Iterator[None]:
    """Let trainings, but not replays, have a further callback."""
    with pytest.MonkeyPatch.context() as patch:
        if callback is not None:
            build_run = StageCLI.build_run

            def build(cli: StageCLI, *arguments: Any) -> tuple[list[Callback], list[Callback]]:
                first, last = build_run(cli, *arguments)
                return first, [*last, callback]

            patch.setattr(StageCLI, "build_run", build)
        yield


def replay_here(request: Request) -> None:
    """Replay in this process, which takes a tenth of the time of a new one."""
    code = worker.main(request.argv)
    if code != 0:
        raise ReplayFailed(str(code))


class At(Callback):
    """Callback that changes something before a step, or its gradients.

    Args:
        step: the step, from 1.
        change: called with the trainer and the module.
        hook: `start` for what the step begins with, `backward` for its gradients, `loading` for its random numbers.
    """

    def __init__(self, step: int, change: Callable[[Any, Any], None], hook: str = "start") -> None:
        self.step, self.change, self.hook = step, change, hook

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._call("start", trainer, pl_module, trainer.global_step + 1)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self._call("loading", trainer, pl_module, trainer.global_step + 1)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._call("backward", trainer, pl_module, trainer.global_step + 1)

    def _call(self, hook: str, trainer: Any, module: Any, step: int) -> None:
        if hook == self.hook and step == self.step:
            self.change(trainer, module)


def flip(tensor: Tensor, random_numbers: random.Random) -> None:
    """Flip a bit of the mantissa of one value that is not zero."""
    flat = tensor.detach().view(-1)
    index = random_numbers.choice(flat.nonzero()[:, 0].tolist())
    flat[index : index + 1].view(torch.int32).bitwise_xor_(1 << random_numbers.randrange(23))


@dataclass
class Injection:
    """A difference, and what must be named.

    Args:
        kind: one of KINDS.
        step: the first step that differs.
        name: the tensor that differs first, or how its name begins.
        callback: injects it while run B trains; None for what a class of the components does.
    """

    kind: str
    step: int
    name: str
    callback: Callback | None = None


@contextmanager
def injected(kind: str, seed: int, losses: Sequence[float]) -> Iterator[Injection]:
    """Return a random difference of a kind; in the `with` block, the components have it.

    Args:
        kind: the kind.
        seed: of the random numbers.
        losses: those of the run without it, by step.
    """
    numbers = random.Random(f"{kind} {seed}")
    step = numbers.randrange(3, STEPS)
    with pytest.MonkeyPatch.context() as patch:
        if kind == "data":
            index = numbers.randrange(48)
            order = [index for epoch in range(5) for index in Points().order(0, epoch)]
            patch.setattr(Points, "changed", {index: 1e-3})
            yield Injection(kind, order.index(index) // 8 + 1, "data image")
        elif kind == "order":
            epoch = numbers.randrange(5)
            patch.setattr(Points, "swapped", epoch)
            yield Injection(kind, epoch * BATCHES + 1, "data ")
        elif kind == "code":
            lowest = [number for number, loss in enumerate(losses) if loss == min(losses[: number + 1])]
            number = numbers.choice(lowest)
            patch.setattr(Branching, "edited_below", losses[number] * 1.000001)
            yield Injection(kind, number + 1, "loss")
        else:
            yield _state_injection(kind, step, numbers)


def _state_injection(kind: str, step: int, numbers: random.Random) -> Injection:
    """Return a difference in the state, gradients or random numbers of a step."""
    name = ""

    def pick(named: dict[str, Tensor]) -> Tensor:
        return named[numbers_name(named)]

    def numbers_name(named: dict[str, Tensor]) -> str:
        injection.name = numbers.choice([each for each, value in named.items() if value.count_nonzero()])
        return injection.name

    def change(trainer: Any, module: Any) -> None:
        parameters = {f"parameter {key}": value for key, value in module.named_parameters()}
        if kind == "parameter":
            flip(pick(parameters), numbers)
        elif kind == "buffer":
            buffers = module.named_buffers()
            flip(pick({f"buffer {key}": each for key, each in buffers if each.is_floating_point()}), numbers)
        elif kind == "optimizer":
            state = trainer.optimizers[0].state
            of = {value: key for key, value in module.named_parameters()}
            moments = ("exp_avg", "exp_avg_sq")
            flip(
                pick({f"optimizer 0 {key} {of[p]}": each[key] for p, each in state.items() for key in moments}), numbers
            )
        elif kind == "average":
            flip(pick({f"average {key}": each for key, each in module.average.averages.items()}), numbers)
        elif kind == "gradient":
            flip(pick({f"gradient {key}": p.grad for key, p in module.named_parameters()}), numbers)
        elif kind == "seed":
            torch.manual_seed(12345)
        else:
            assert kind == "lr"
            trainer.optimizers[0].param_groups[0]["lr"] *= 1 + 1e-6

    hook = {"gradient": "backward", "seed": "loading"}.get(kind, "start")
    name = {"seed": "loss", "lr": "lr 0.0"}.get(kind, "")
    injection = Injection(kind, step, name, At(step, change, hook))
    return injection


def losses_of(run: Path) -> list[float]:
    """Return the losses of a run by step."""
    return [float(value) for value in read_curves(run)["train/entropy"][1]]

"""A signal or an exception at any moment, and `--resume auto` after it: the run ends as if nothing had happened."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from project.core.interruption import Interruption, leave_signals_to_the_main_process, signals_restored
from tests.conftest import CONFIGS, Cli
from tests.core.random_rooms import Dropped
from tests.core.test_exact_resume import RANDOM
from tests.exactness import differing, outcome

SETTINGS = RANDOM | {"checkpoint": {"keep": 2}}


def over(hook: str, count: int, what: str, **trainer: Any) -> dict[str, Any]:
    strike = {"type": "tests.core.random_rooms.Strike", "hook": hook, "count": count, "what": what}
    return SETTINGS | {"trainer": SETTINGS["trainer"] | {"callbacks": [strike]} | trainer}


def undisturbed(cli: Cli, config: str, tmp_path: Path) -> Path:
    """The run without the blow."""
    (tmp_path / "struck.txt").touch()
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    (tmp_path / "struck.txt").unlink()
    return Path(shutil.move(tmp_path / "experiments/tiny", tmp_path / "whole"))


@pytest.mark.parametrize(
    ("hook", "count", "what", "code", "step"),
    [
        ("on_train_batch_end", 2, "SIGTERM", 75, 2),
        ("on_train_batch_start", 4, "SIGINT", 130, 4),
        ("on_train_batch_end", 5, "SIGTERM", 75, 5),
        ("on_validation_batch_end", 1, "SIGTERM", 75, 5),
        ("on_validation_epoch_end", 1, "SIGTERM", 75, 6),
        ("on_train_epoch_end", 1, "SIGINT", 130, 6),
        ("on_save_checkpoint", 1, "SIGTERM", 75, 5),
        ("on_train_start", 1, "SIGTERM", 75, None),
        ("on_train_batch_end", 3, "exception", 1, None),
        ("on_train_batch_start", 8, "exception", 1, 5),
        ("on_validation_epoch_end", 1, "exception", 1, 5),
        ("on_save_checkpoint", 2, "exception", 1, 5),
    ],
)
def test_it_goes_on(
    hook: str, count: int, what: str, code: int, step: int | None, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(over(hook, count, what))
    whole = undisturbed(cli, config, tmp_path)
    ran = cli("fit", "--config", config)
    assert ran.code == code, ran.err
    assert ("Traceback" in ran.err) is (what == "exception")
    run = tmp_path / "experiments/tiny"
    written = sorted(path.name[-9:-5] for path in (run / "checkpoints").glob("epoch*"))
    assert written[-1:] == ([] if step is None else [f"{step:04d}"])
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert differing(outcome(whole), outcome(run)) == []
    assert run.joinpath("config.resume1.yaml").exists() is (step is not None)


def test_accumulated_gradients_are_not_lost(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """A signal in the middle of a window ends the run behind the window."""
    config = tiny(over("on_train_batch_end", 3, "SIGTERM", accumulate_grad_batches=2))
    whole = undisturbed(cli, config, tmp_path)
    assert cli("fit", "--config", config).code == 75
    run = tmp_path / "experiments/tiny"
    assert (run / "checkpoints/epoch_0000_step_000002.ckpt").exists()
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert differing(outcome(whole), outcome(run)) == []


def test_without_checkpoints_a_signal_ends_the_run(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny(over("on_train_batch_end", 2, "SIGTERM", enable_checkpointing=False))
    assert cli("fit", "--config", config).code == 143


def test_a_second_ctrl_c_ends_at_once() -> None:
    interruption = Interruption()
    with signals_restored():
        interruption.listen()
        signal.raise_signal(signal.SIGINT)
        assert interruption.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_signals_that_were_held_back_are_heard() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    with signals_restored():
        signal.raise_signal(signal.SIGUSR1)
        interruption = Interruption()
        interruption.listen()
        assert interruption.number == signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_handlers_are_put_back(cli: Cli, tiny: Callable[..., str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert cli("fit", "--config", tiny()).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_workers_outlive_a_signal_to_all_processes() -> None:
    with signals_restored():
        leave_signals_to_the_main_process(0)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("what", "code"), [("SIGTERM", 75), ("exception", 1)])
def test_workers_of_a_validation_are_ended_with_it(
    what: str, code: int, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(over("on_validation_batch_end", 1, what) | {"data": SETTINGS["data"] | {"num_workers": 1}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    done = subprocess.run(command, cwd=tmp_path, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def test_ctrl_c_before_the_training_is_told_in_one_line(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"model": {"net": {"type": "tests.core.test_interruption.Interrupting"}}}))
    assert ran.code == 130
    assert "ended by Ctrl-C" in ran.err
    assert "Traceback" not in ran.err


class Interrupting(Dropped):
    """Is interrupted while it is built."""

    def __init__(self) -> None:
        super().__init__()
        signal.raise_signal(signal.SIGINT)


def test_a_signal_in_an_evaluation_ends_it(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    evaluation = {"evaluation": {"every_n_epochs": 1}, "data": SETTINGS["data"] | {"batch_size": 2}}
    config = tiny(over("on_test_batch_end", 1, "SIGTERM") | evaluation)
    whole = undisturbed(cli, config, tmp_path)
    model = {"model": SETTINGS["model"] | {"net": {"type": "tests.core.test_interruption.Signalling"}}}
    assert cli("fit", "--config", config, "--config", tiny({"base": []} | model, "model.yaml")).code == 75
    run = tmp_path / "experiments/tiny"
    assert not (run / "eval").exists()
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert differing(outcome(whole), outcome(run)) == []


class Signalling(Dropped):
    """Is told to end when it evaluates what is no validation."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        evaluates = not self.training and "_evaluate" in {frame.function for frame in inspect.stack()}
        if evaluates and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            signal.raise_signal(signal.SIGTERM)
        return super().forward(image)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_to_all_processes_of_a_run(
    number: signal.Signals, code: int, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"data": {"num_workers": 2}, "trainer": {"max_epochs": 100_000, "limit_train_batches": 1.0}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(600):
        if (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, number)
    shown = process.communicate(timeout=60)[1]
    assert process.returncode == code, shown
    assert "`--resume auto` goes on where it stands" in shown
    assert "Traceback" not in shown

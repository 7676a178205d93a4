"""A run that a signal or an exception stops at any moment, and `--resume auto`: the outcome is that without a stop."""

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from project.core.distributed.signals import (
    Interrupted,
    Interruption,
    ignore_signals,
    ignore_termination,
    restoring_signals,
    wait_unless_signaled,
)
from project.core.evaluation import periodic
from tests.conftest import CONFIGS, Cli
from tests.core.random_components import Dropped
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import differing, outcome

SETTINGS = RANDOM | {"checkpoint": {"keep": 2}}


def settings_with(hook: str, count: int, what: str, **trainer: Any) -> dict[str, Any]:
    """Return SETTINGS with a callback that sends a signal or raises, see Strike, and other arguments of the Trainer."""
    strike = {"type": "tests.core.random_components.Strike", "hook": hook, "count": count, "what": what}
    return SETTINGS | {"trainer": SETTINGS["trainer"] | {"callbacks": [strike]} | trainer}


def train_uninterrupted(cli: Cli, config: str, tmp_path: Path) -> Path:
    """Train without the signal or exception; return the directory, which is moved."""
    (tmp_path / "struck.txt").touch()  # the callback does nothing
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    (tmp_path / "struck.txt").unlink()
    return (tmp_path / "experiments/tiny").rename(tmp_path / "uninterrupted")


@pytest.fixture(scope="session")
def uninterrupted() -> dict[str, Any]:
    """Return the outcome of the uninterrupted run: empty until the first test that needs it has trained it."""
    return {}


@pytest.mark.parametrize(
    ("hook", "count", "what", "code", "step"),
    [
        ("on_train_batch_end", 2, "SIGTERM", 75, 2),
        pytest.param("on_train_batch_start", 4, "SIGINT", 130, 4, marks=pytest.mark.slow),
        pytest.param("on_train_batch_end", 5, "SIGTERM", 75, 5, marks=pytest.mark.slow),
        ("on_validation_batch_end", 1, "SIGTERM", 75, 5),
        pytest.param("on_validation_epoch_end", 1, "SIGTERM", 75, 6, marks=pytest.mark.slow),
        ("on_train_epoch_end", 1, "SIGINT", 130, 6),
        ("on_save_checkpoint", 1, "SIGTERM", 75, 5),
        ("on_train_start", 1, "SIGTERM", 75, None),
        pytest.param("on_train_batch_end", 3, "exception", 1, None, marks=pytest.mark.slow),
        ("on_train_batch_start", 8, "exception", 1, 5),
        pytest.param("on_validation_epoch_end", 1, "exception", 1, 5, marks=pytest.mark.slow),
        pytest.param("on_save_checkpoint", 2, "exception", 1, 5, marks=pytest.mark.slow),
    ],
)
def test_stopped_run_is_resumed_exactly(
    hook: str,
    count: int,
    what: str,
    code: int,
    step: int | None,
    cli: Cli,
    tiny: Callable[..., str],
    tmp_path: Path,
    uninterrupted: dict[str, Any],
) -> None:
    config = tiny(settings_with(hook, count, what))
    if not uninterrupted:
        uninterrupted.update(outcome(train_uninterrupted(cli, config, tmp_path)))
    ran = cli("fit", "--config", config)
    assert ran.code == code, ran.err
    assert ("Traceback" in ran.err) is (what == "exception")
    run = tmp_path / "experiments/tiny"
    saved = sorted(path.name[-9:-5] for path in (run / "checkpoints").glob("epoch*"))
    assert saved[-1:] == ([] if step is None else [f"{step:04d}"])
    ran = cli("fit", "--config", config, "--resume", "auto")
    assert ran.code == 0, ran.err
    assert differing(uninterrupted, outcome(run)) == []
    assert run.joinpath("config.resume1.yaml").exists() is (step is not None)


def test_signal_between_accumulated_batches_stops_the_run_after_the_optimizer_step(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(settings_with("on_train_batch_end", 3, "SIGTERM", accumulate_grad_batches=2))
    uninterrupted = train_uninterrupted(cli, config, tmp_path)
    assert cli("fit", "--config", config).code == 75
    run = tmp_path / "experiments/tiny"
    assert (run / "checkpoints/epoch_0000_step_000002.ckpt").exists()
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert differing(outcome(uninterrupted), outcome(run)) == []


def test_signal_kills_a_run_without_checkpoints(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny(settings_with("on_train_batch_end", 2, "SIGTERM", enable_checkpointing=False))
    assert cli("fit", "--config", config).code == 143


def test_second_ctrl_c_raises_at_once() -> None:
    interruption = Interruption()
    with restoring_signals():
        interruption.install()
        signal.raise_signal(signal.SIGINT)
        assert interruption.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_signal_that_was_blocked_is_received_after_install() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    with restoring_signals():
        signal.raise_signal(signal.SIGUSR1)
        interruption = Interruption()
        interruption.install()
        assert interruption.number == signal.SIGUSR1
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_signal_handlers_are_restored_after_a_run(cli: Cli, tiny: Callable[..., str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert cli("fit", "--config", tiny()).code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no alarm")
def test_alarm_of_a_late_signal_does_not_kill_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes while handlers are restored, or after that, armed an alarm that killed Python at its exit."""
    interruption, restore = Interruption(), signal.signal

    def restore_late(number: int, handler: Any) -> Any:
        if number == signal.SIGINT:
            signal.raise_signal(signal.SIGUSR1)  # its handler is that of cli.py again
        return restore(number, handler)

    with restoring_signals():
        interruption.install(with_sigint=False)
        with monkeypatch.context() as patch, restoring_signals():
            signal.raise_signal(signal.SIGUSR1)
            patch.setattr(signal, "signal", restore_late)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
        signal.raise_signal(signal.SIGUSR1)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        ignore_termination()
        signal.raise_signal(signal.SIGUSR1)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_worker_ignores_signals() -> None:
    with restoring_signals():
        ignore_signals()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)


def test_uninstall_restores_default_handlers_and_raises_a_received_signal() -> None:
    received: list[int] = []
    with restoring_signals():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it
        interruption = Interruption()
        interruption.install(with_sigint=False)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        interruption.uninstall()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        interruption.install()
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))  # not the default, which kills
        interruption.uninstall()
    assert received == [signal.SIGUSR1]


def test_received_signal_is_reported_and_has_an_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    with restoring_signals():
        Interruption().install()
        signal.raise_signal(signal.SIGTERM)
    assert capfd.readouterr().err == "SIGTERM: stopping after the next step, with a checkpoint\n"
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
    assert [Interrupted(number).code for number in numbers] == [75, 75, 75, 130]


def test_signal_handler_is_installed_for_all_signals_of_schedulers() -> None:
    """submitit sends SIGUSR2 by default."""
    with restoring_signals():
        interruption = Interruption()
        interruption.install()
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.raise_signal(number)
            assert interruption.number == number
        assert signal.getitimer(signal.ITIMER_REAL)[1] == 1
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_wait_ends_with_a_signal() -> None:
    assert wait_unless_signaled(0.01)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    start = time.monotonic()
    assert not wait_unless_signaled(60)
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(("what", "code"), [("SIGTERM", 75), pytest.param("exception", 1, marks=pytest.mark.slow)])
def test_workers_of_a_validation_end_with_the_run(
    what: str, code: int, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(settings_with("on_validation_batch_end", 1, what) | {"data": SETTINGS["data"] | {"num_workers": 1}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    done = subprocess.run(command, cwd=tmp_path, timeout=200, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr


def test_ctrl_c_before_the_training_is_reported_in_one_line(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.distributed.test_signals.Interrupting"}}})
    with restoring_signals():
        signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs without it
        ran = cli("fit", "--config", config)
    assert ran.code == 130
    assert "stopped by Ctrl-C" in ran.err
    assert "Traceback" not in ran.err


class Interrupting(Dropped):
    """Net that is interrupted while it is built."""

    def __init__(self) -> None:
        super().__init__()
        signal.raise_signal(signal.SIGINT)


def test_signal_in_an_evaluation_during_training_stops_it(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    evaluation = {"evaluation": {"every_n_epochs": 1}, "data": SETTINGS["data"] | {"batch_size": 2}}
    config = tiny(settings_with("on_test_batch_end", 1, "SIGTERM") | evaluation)
    uninterrupted = train_uninterrupted(cli, config, tmp_path)
    model = {"model": SETTINGS["model"] | {"net": {"type": "tests.core.distributed.test_signals.Signalling"}}}
    assert cli("fit", "--config", config, "--config", tiny({"base": []} | model, "model.yaml")).code == 75
    run = tmp_path / "experiments/tiny"
    assert not (run / "eval").exists()
    assert cli("fit", "--config", config, "--resume", "auto").code == 0
    assert differing(outcome(uninterrupted), outcome(run)) == []


class Signalling(Dropped):
    """Net that gets SIGTERM, once, in an evaluation that is not a validation."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        is_evaluation = periodic.__file__ in {frame.filename for frame in inspect.stack(0)}
        if is_evaluation and not Path("struck.txt").exists():
            Path("struck.txt").touch()
            signal.raise_signal(signal.SIGTERM)
        return super().forward(image)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signal_to_main_process_and_workers_stops_the_run(
    number: signal.Signals, code: int, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"data": {"num_workers": 2}, "trainer": {"max_epochs": 100_000, "limit_train_batches": 1.0}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists():
        time.sleep(0.1)
    os.killpg(process.pid, number)
    shown = process.communicate(timeout=60)[1]
    assert process.returncode == code, shown
    assert f"stopped by {number.name}\n" in shown
    assert "Traceback" not in shown

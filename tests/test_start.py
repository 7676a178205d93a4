"""The start of the command line, before torch is imported."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import project
from project import commands
from project.core.cli.main import main as main_of_stages
from project.core.distributed.signals import Interruption, restoring_signals

PACKAGE = project.__name__
ROOT = Path(project.__file__).parents[1]
main: Callable[[], int] = import_module(f"{PACKAGE}.__main__").main


@pytest.mark.parametrize("words", ["fit --config x.yaml", "--help", "table", "sweep --help", "completion bash"])
def test_missing_packages_are_told_in_two_lines(words: str) -> None:
    """Without the packages of the environment, as for a Python in which nothing was installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    argv = [sys.executable, "-S", str(ROOT / "cli.py"), *words.split()]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert first.endswith(f" is not installed for {sys.executable}")
    assert second == "Install what is needed: pip install -c constraints.txt -e ."
    assert (done.returncode, done.stdout) == (2, "")


def test_a_missing_module_of_an_installed_package_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """To install it again would not help."""

    def fail(words: object) -> None:
        raise ModuleNotFoundError("no", name=f"{PACKAGE}.absent")

    monkeypatch.setattr(commands, "import_command", fail)
    monkeypatch.setattr(sys, "argv", ["cli.py", "table"])
    with restoring_signals(), pytest.raises(ModuleNotFoundError):
        main()


@pytest.mark.parametrize(
    ("words", "effect"),
    [
        ("fit --config x.yaml", "stopping after the next step, with a checkpoint"),
        ("fit --model.net.help=MLP", "stopping when the start is over"),
        ("test --ckpt_path x", "stopping when the start is over"),
        ("--help", "stopping when the start is over"),
        ("sweep --config x.yaml", "stopping before the next run"),
    ],
)
def test_a_signal_during_the_import_says_what_it_does(
    words: str, effect: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only a training has a step after which it stops."""

    def receive(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise ModuleNotFoundError("no", name="absent_package")

    monkeypatch.setattr(commands, "import_command", receive)
    monkeypatch.setattr(sys, "argv", ["cli.py", *words.split()])
    try:
        with restoring_signals():
            assert main() == 2
    finally:
        gc.enable()
    assert capfd.readouterr().err.splitlines()[0] == f"SIGTERM: {effect}"


@pytest.mark.parametrize("words", ["--help", "--print_config --config CONFIG", "--model.help"])
def test_a_signal_ends_what_trains_nothing(words: str, tiny: Callable[..., str]) -> None:
    """Signals that came during the import have their own effect then."""
    received: list[int] = []
    interruption = Interruption()
    with restoring_signals():
        interruption.number = signal.SIGUSR1
        signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))  # not the default, which kills
        assert main_of_stages(["fit", *words.replace("CONFIG", tiny()).split()], interruption) == 0
    assert received == [signal.SIGUSR1]

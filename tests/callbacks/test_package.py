"""A callback that a module in project/callbacks/ registers can be named in yaml."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project import callbacks
from project.registry import CALLBACK_REGISTRY
from tests.conftest import Cli

MODULE = """
from pathlib import Path
from pytorch_lightning import Callback
from project.registry import CALLBACK_REGISTRY

@CALLBACK_REGISTRY.register()
class StepCounter(Callback):
    def __init__(self, file: str = "steps.txt") -> None:
        self.file = file

    def on_train_end(self, trainer, pl_module) -> None:
        Path(self.file).write_text(str(trainer.global_step))
"""


@pytest.fixture
def _callback_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add a module with a callback to the package, outside the source tree."""
    directory = tmp_path / "callbacks"
    directory.mkdir()
    (directory / "step_counter.py").write_text(MODULE)
    monkeypatch.setattr(callbacks, "__path__", [*callbacks.__path__, str(directory)])
    monkeypatch.setattr(CALLBACK_REGISTRY, "_entries", dict(CALLBACK_REGISTRY._entries))
    monkeypatch.setattr(CALLBACK_REGISTRY, "_scanned", False)
    yield
    sys.modules.pop(f"{callbacks.__name__}.step_counter", None)


@pytest.mark.usefixtures("_callback_module")
@pytest.mark.parametrize(
    ("entry", "file"),
    [("StepCounter", "steps.txt"), ({"type": "step_counter", "file": "count.txt"}, "count.txt")],
    ids=["name", "entry with an argument"],
)
def test_registered_callback_can_be_named_in_yaml(
    entry: object, file: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny({"data": {"val": None}, "trainer": {"callbacks": [entry]}}))
    assert ran.code == 0, ran.err
    assert (tmp_path / file).read_text() == "2"


@pytest.mark.usefixtures("_callback_module")
def test_unknown_callback_lists_registered_ones(cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": ["StepCuonter"]}}))
    assert ran.code == 2
    problem, known = ran.err.splitlines()[-2:]
    assert problem.endswith("no callback is called 'StepCuonter'; did you mean 'StepCounter'?")
    assert known == (
        "known: GradientMonitor, NonFiniteStop, StepCounter, StopAtSpike (and the classes of "
        "pytorch_lightning.callbacks), or the dotted path of your own, such as my_package.my_module.MyClass"
    )

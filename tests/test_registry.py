import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchmetrics

from project.core.errors import ConfigError
from project.losses.base import Loss
from project.registry import LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY, Registry
from tests.conftest import Cli
from tests.rooms import Accuracy, CrossEntropy

PACKAGE = "project.someroom"
THING = """
import torch
from project.registry import ROOM
@ROOM.register()
class Thing(torch.nn.Module): ...
"""


class Base(Loss):
    """The base of this file's room."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry("thing", Base, foreign=("torch.nn",), family=torch.nn.Module)
    yield registry
    del Registry.by_base[Base]


@pytest.mark.usefixtures("short_names")
def test_names_match_ignoring_case_and_underscores() -> None:
    found = {LOSS_REGISTRY.find(name, "here") for name in ("CrossEntropy", "cross_entropy", "CROSSENTROPY")}
    assert found == {CrossEntropy}


def test_register_under_another_name(registry: Registry) -> None:
    @registry.register("short")
    class Long(torch.nn.Module):
        pass

    assert registry.find("short", "here") is Long
    assert registry.names() == ["short"]
    assert issubclass(Long, Base)


def test_add_names_a_class_without_importing_it(registry: Registry) -> None:
    registry.add("huber", "torch.nn.HuberLoss")
    registry.add("broken", "nowhere.at.All")
    assert registry.find("huber", "here") is torch.nn.HuberLoss
    assert registry.short_name("torch.nn.HuberLoss") == "huber"
    assert isinstance(torch.nn.HuberLoss(), Base)
    with pytest.raises(ConfigError, match=r"here: cannot import 'nowhere.at.All': ModuleNotFoundError"):
        registry.find("broken", "here")


@pytest.mark.usefixtures("short_names")
def test_foreign_classes() -> None:
    assert LOSS_REGISTRY.find("HuberLoss", "here") is torch.nn.HuberLoss
    assert LOSS_REGISTRY.find("torch.nn.modules.loss.HuberLoss", "here") is torch.nn.HuberLoss
    assert MODEL_REGISTRY.find("sequential", "here") is torch.nn.Sequential
    assert METRIC_REGISTRY.find("MulticlassAUROC", "here") is torchmetrics.classification.MulticlassAUROC
    assert METRIC_REGISTRY.find("PeakSignalNoiseRatio", "here") is torchmetrics.image.PeakSignalNoiseRatio
    assert METRIC_REGISTRY.find("accuracy", "here") is Accuracy  # ours comes first


def test_a_name_registered_twice_shows_both(registry: Registry) -> None:
    registry.add("one", "torch.nn.L1Loss")
    registry.add("one", "torch.nn.L1Loss")
    with pytest.raises(ConfigError, match=r"two thing classes are called 'one': torch.nn.L1Loss and torch.nn.MSELoss"):
        registry.add("O_ne", "torch.nn.MSELoss")


def test_what_is_no_module_cannot_be_one(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"cannot be a thing: it does not derive from torch.nn.modules.module.Module"):
        registry.register()(dict)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Registry]]:
    """A room on the disk, scanned by a registry of its own."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, PACKAGE, package)

    def build(name: str, text: str) -> Registry:
        (tmp_path / name).write_text(text)
        registry = Registry("thing", Base, "someroom", family=torch.nn.Module)
        monkeypatch.setattr("project.registry.ROOM", registry, raising=False)
        return registry

    yield build
    del Registry.by_base[Base]
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]


def test_adding_a_file_is_all_it_takes(room: Callable[[str, str], Registry]) -> None:
    assert room("file.py", THING).names() == ["Thing"]


def test_a_broken_file_is_shown_when_a_name_is_missed(room: Callable[[str, str], Registry], tmp_path: Path) -> None:
    room("whole.py", THING)
    registry = room("broken.py", "import torch\n1 / 0\n")
    assert registry.find("thing", "here").__name__ == "Thing"
    with pytest.raises(ConfigError) as caught:
        registry.find("thong", "here")
    assert str(caught.value) == (
        "here: no thing is called 'thong'; did you mean 'Thing'?\n"
        "known: Thing\n"
        f"not imported: {PACKAGE}.broken: ZeroDivisionError: division by zero ({tmp_path}/broken.py:2)"
    )


def test_a_syntax_error_is_shown_with_its_line(room: Callable[[str, str], Registry]) -> None:
    registry = room("broken.py", "import torch\ndef f(:\n")
    with pytest.raises(ConfigError, match=rf"{PACKAGE}.broken: SyntaxError: invalid syntax \(broken.py, line 2\)"):
        registry.find("thing", "here")


def test_two_files_with_one_name(room: Callable[[str, str], Registry]) -> None:
    room("one.py", THING)
    registry = room("two.py", THING)
    with pytest.raises(
        ConfigError, match=f"two thing classes are called 'Thing': {PACKAGE}.one.Thing and {PACKAGE}.two"
    ):
        registry.names()


@pytest.mark.usefixtures("short_names")
def test_a_broken_room_does_not_stop_a_run_that_does_not_need_it(
    cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOSS_REGISTRY.broken, "project.losses.mine", "SyntaxError: invalid syntax (mine.py, line 3)")
    assert cli("fit", "--config", tiny(), "--print_config").code == 0
    ran = cli("fit", "--config", tiny({"model": {"loss": {"mine": {}}}}))
    assert ran.code == 2
    assert ran.err == (
        "error: model.loss.mine: no loss is called 'mine'\n"
        f"{LOSS_REGISTRY.known()}\n"
        "not imported: project.losses.mine: SyntaxError: invalid syntax (mine.py, line 3)\n"
    )


@pytest.mark.usefixtures("short_names")
def test_foreign_classes_by_yaml(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny(
        {
            "model": {
                "net": {"type": "tests.test_registry.Plain", "inputs": {"x": "image"}, "output": "scores"},
                "loss": {
                    "cross_entropy": {"inputs": {"logits": "scores"}},
                    "margin": {
                        "type": "MultiMarginLoss",
                        "margin": 0.5,
                        "inputs": {"input": "scores", "target": "label"},
                    },
                },
                "metric": {
                    "accuracy": {"inputs": {"logits": "scores"}},
                    "auroc": {
                        "type": "MulticlassAUROC",
                        "num_classes": 10,
                        "inputs": {"preds": "scores", "target": "label"},
                    },
                },
            }
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    assert "eval/auroc" in ran.out
    assert "eval/margin" in ran.out


@pytest.mark.usefixtures("short_names")
def test_slots_of_slots_and_of_somebody_elses_classes(cli: Cli, tiny: Callable[..., str]) -> None:
    inputs = {"preds": "logits", "target": "label"}
    base = {"type": "MulticlassAccuracy", "num_classes": 10}
    config = tiny(
        {
            "model": {
                "net": {
                    "type": "tests.core.rooms.Wrapped",
                    "backbone": {"type": "MLP", "in_features": 64, "num_classes": 10},
                    "scale": {"type": "LayerNorm", "normalized_shape": 10},
                },
                "metric": {"range": {"type": "MinMaxMetric", "base_metric": base, "inputs": inputs}},
            }
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert "val/range/max 0." in ran.err
    ran = cli("fit", "--config", config, "--model.net.backbone.help", "MLP")
    assert "  --model.net.backbone.hidden " in ran.out


class Plain(torch.nn.Module):
    """A net that knows nothing of the rooms."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(x)
        return scores

"""A name in the yaml means one class, and a name that means none is reported with what is known."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torchmetrics.image

from project.core.errors import ConfigError
from project.losses.base import Loss
from project.registry import LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY, Registry
from tests.components import Accuracy, CrossEntropy
from tests.conftest import CONFIGS, Cli

PACKAGE = "project.things"
THING = """
import torch
from project.registry import THINGS
@THINGS.register()
class Thing(torch.nn.Module): ...
"""


class Base(Loss):
    """Base class of the things in this file."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry("thing", Base, external_modules=("torch.nn",), required_base=torch.nn.Module)
    yield registry
    del Registry.by_base[Base]


@pytest.mark.usefixtures("short_names")
def test_names_match_ignoring_case_and_underscores() -> None:
    found = {LOSS_REGISTRY.resolve(name, "here") for name in ("CrossEntropy", "cross_entropy", "CROSSENTROPY")}
    assert found == {CrossEntropy}


def test_register_under_another_name(registry: Registry) -> None:
    @registry.register("short")
    class Long(torch.nn.Module):
        pass

    assert registry.resolve("short", "here") is Long
    assert registry.names() == ["short"]
    assert issubclass(Long, Base)


def test_add_names_a_class_without_importing_it(registry: Registry) -> None:
    registry.add("huber", "torch.nn.HuberLoss")
    registry.add("broken", "nowhere.at.All")
    assert registry.resolve("huber", "here") is torch.nn.HuberLoss
    assert registry.short_name("torch.nn.HuberLoss") == "huber"
    assert isinstance(torch.nn.HuberLoss(), Base)
    with pytest.raises(ConfigError, match=r"here: cannot import 'nowhere.at.All': ModuleNotFoundError"):
        registry.resolve("broken", "here")


@pytest.mark.usefixtures("short_names")
def test_external_classes_are_found_by_name_and_path() -> None:
    assert LOSS_REGISTRY.resolve("HuberLoss", "here") is torch.nn.HuberLoss
    assert LOSS_REGISTRY.resolve("torch.nn.modules.loss.HuberLoss", "here") is torch.nn.HuberLoss
    assert MODEL_REGISTRY.resolve("sequential", "here") is torch.nn.Sequential
    assert METRIC_REGISTRY.resolve("MulticlassAUROC", "here") is torchmetrics.classification.MulticlassAUROC
    assert METRIC_REGISTRY.resolve("PeakSignalNoiseRatio", "here") is torchmetrics.image.PeakSignalNoiseRatio
    assert METRIC_REGISTRY.resolve("accuracy", "here") is Accuracy  # registered classes come first


def test_registering_a_name_twice_reports_both_classes(registry: Registry) -> None:
    registry.add("one", "torch.nn.L1Loss")
    registry.add("one", "torch.nn.L1Loss")
    with pytest.raises(ConfigError, match=r"two thing classes are called 'one': torch.nn.L1Loss and torch.nn.MSELoss"):
        registry.add("O_ne", "torch.nn.MSELoss")


def test_register_rejects_a_class_without_the_required_base(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=r"cannot be a thing: it does not derive from torch.nn.modules.module.Module"):
        registry.register()(dict)


@pytest.fixture
def add_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Registry]]:
    """Write a module to a package on disk, and return a new registry that scans this package."""
    package = ModuleType(PACKAGE)
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, PACKAGE, package)

    def build(name: str, text: str) -> Registry:
        (tmp_path / name).write_text(text)
        registry = Registry("thing", Base, "things", required_base=torch.nn.Module)
        monkeypatch.setattr("project.registry.THINGS", registry, raising=False)
        return registry

    yield build
    del Registry.by_base[Base]
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]


def test_a_component_needs_only_its_file(add_module: Callable[[str, str], Registry]) -> None:
    assert add_module("file.py", THING).names() == ["Thing"]


def test_an_unknown_name_reports_import_errors(add_module: Callable[[str, str], Registry], tmp_path: Path) -> None:
    add_module("whole.py", THING)
    registry = add_module("broken.py", "import torch\n1 / 0\n")
    assert registry.resolve("thing", "here").__name__ == "Thing"
    with pytest.raises(ConfigError) as caught:
        registry.resolve("thong", "here")
    assert str(caught.value) == (
        "here: no thing is called 'thong'; did you mean 'Thing'?\n"
        "known: Thing, or the dotted path of your own, such as my_package.my_module.MyClass\n"
        f"not imported: {PACKAGE}.broken: ZeroDivisionError: division by zero ({tmp_path}/broken.py:2)"
    )


def test_a_component_whose_module_needs_a_package_names_it(add_module: Callable[[str, str], Registry]) -> None:
    registry = add_module("modern.py", f"import no_such_package\n{THING}")
    with pytest.raises(ConfigError) as caught:
        registry.resolve("thing", "here")
    assert str(caught.value) == (
        f"here: Thing cannot be used, because {PACKAGE}.modern was not imported: it needs the package no_such_package: "
        "pip install no_such_package"
    )
    with pytest.raises(
        ConfigError, match=f"^here: cannot import '{PACKAGE}.modern.Thing': it needs the package no_such_"
    ):
        registry.resolve(f"{PACKAGE}.modern.Thing", "here")
    with pytest.raises(ConfigError, match=r"^here: cannot import 'no_such.X': ModuleNotFoundError: No module named"):
        registry.resolve("no_such.X", "here")


def test_a_class_that_its_package_does_not_export_is_found() -> None:
    """torchmetrics exports some only if the packages that they need are installed."""
    assert METRIC_REGISTRY.resolve("FrechetInceptionDistance", "here").__module__ == "torchmetrics.image.fid"


def test_a_syntax_error_is_reported_with_its_line(add_module: Callable[[str, str], Registry]) -> None:
    registry = add_module("broken.py", "import torch\ndef f(:\n")
    with pytest.raises(ConfigError, match=rf"{PACKAGE}.broken: SyntaxError: invalid syntax \(broken.py, line 2\)"):
        registry.resolve("thing", "here")


def test_the_same_name_in_two_files_is_an_error(add_module: Callable[[str, str], Registry]) -> None:
    add_module("one.py", THING)
    registry = add_module("two.py", THING)
    with pytest.raises(
        ConfigError, match=f"two thing classes are called 'Thing': {PACKAGE}.one.Thing and {PACKAGE}.two"
    ):
        registry.names()


@pytest.mark.usefixtures("short_names")
def test_an_import_error_stops_only_runs_that_need_the_module(
    cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        LOSS_REGISTRY.import_errors, "project.losses.mine", "SyntaxError: invalid syntax (mine.py, line 3)"
    )
    assert cli("fit", "--config", tiny(), "--print_config").code == 0
    ran = cli("fit", "--config", tiny({"model": {"loss": {"mine": {}}}}))
    assert ran.code == 2
    assert ran.err == (
        "error: model.loss.mine: no loss is called 'mine'\n"
        f"{LOSS_REGISTRY.describe_known()}\n"
        "not imported: project.losses.mine: SyntaxError: invalid syntax (mine.py, line 3)\n"
    )


@pytest.mark.usefixtures("short_names")
def test_external_classes_train_from_yaml(cli: Cli, tiny: Callable[..., str]) -> None:
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
def test_entries_nest_also_in_external_classes(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    inputs = {"preds": "logits", "target": "label"}
    base = {"type": "MulticlassAccuracy", "num_classes": 10}
    config = tiny(
        {
            "model": {
                "net": {
                    "type": "tests.core.components.Wrapped",
                    "backbone": {"type": "MLP", "in_features": 64, "num_classes": 10},
                    "scale": {"type": "LayerNorm", "normalized_shape": 10},
                },
                "metric": {"range": {"type": "MinMaxMetric", "base_metric": base, "inputs": inputs}},
            }
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert "val/range/max 0." in (tmp_path / "experiments/tiny/log.txt").read_text()
    ran = cli("fit", "--config", config, "--model.net.backbone.help", "MLP")
    assert "  --model.net.backbone.hidden " in ran.out


class Plain(torch.nn.Module):
    """Net that does not derive from a base class of the template."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(x)
        return scores


@pytest.mark.slow
def test_class_registered_outside_the_package_is_found_by_a_fresh_process(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh process finds no short name of a class whose module it has not imported."""
    (tmp_path / "mylab.py").write_text(
        "from project.registry import MODEL_REGISTRY\nfrom tests.components import MLP\n"
        "@MODEL_REGISTRY.register()\nclass OwnNet(MLP): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(MODEL_REGISTRY, "_entries", dict(MODEL_REGISTRY._entries))
    config = tiny({"model": {"net": {"type": "mylab.OwnNet", "in_features": 64, "num_classes": 10}}})
    assert cli("fit", "--config", config).code == 0
    assert "type: mylab.OwnNet\n" in (tmp_path / "experiments/tiny/config.yaml").read_text()
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config, "--resume", "auto"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{CONFIGS.parent}"}
    options = ["--trainer.max_epochs", "2", "--trainer.enable_progress_bar", "false"]
    ran = subprocess.run(
        [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_class_registered_outside_the_package_has_no_short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh process would not find it."""
    monkeypatch.setattr(MODEL_REGISTRY, "_entries", dict(MODEL_REGISTRY._entries))
    path = "tests.components.MLP"
    MODEL_REGISTRY._entries["own"] = ("own", MODEL_REGISTRY.resolve(path, ""))
    assert MODEL_REGISTRY.short_name(path) == path

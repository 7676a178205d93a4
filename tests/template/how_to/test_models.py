"""Tests that follow the pages about models and training."""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import project
from project.commands import main
from project.models.resnet import ResNet
from project.registry import MODEL_REGISTRY
from tests.exactness import curves
from tests.template.conftest import ROOT
from tests.template.how_to.reader import Reader, check_contract

SHORT = (
    "--trainer.limit_train_batches",
    "3",
    "--trainer.limit_val_batches",
    "1",
    "--trainer.num_sanity_val_steps",
    "0",
)
SMALL = ("--model.net", "{type: MLP, in_features: 64, num_classes: 10, hidden: 8}", *SHORT[2:])


def saved(run: str, name: str = "last") -> dict[str, Any]:
    """Return the content of a checkpoint."""
    content: dict[str, Any] = torch.load(f"experiments/{run}/checkpoints/{name}.ckpt", weights_only=True)
    return content


def changed(one: dict[str, Tensor], two: dict[str, Tensor], name: str) -> bool:
    """Return whether a tensor differs between two states."""
    return not torch.equal(one[name], two[name])


def summary(run: str) -> dict[str, Any]:
    """Return the summary of a run."""
    content: dict[str, Any] = json.loads(Path(f"experiments/{run}/summary.json").read_text(encoding="utf-8"))
    return content


def test_moving_average(reader: Reader) -> None:
    reader.follow("moving_average", *SHORT, "--trainer.max_epochs", "1")
    checkpoint = saved("averaged")
    averaged, trained = checkpoint["state_dict"], checkpoint["moving_average"]["trained_state_dict"]
    assert not torch.equal(averaged["net.head.weight"], trained["net.head.weight"])


def test_own_net(reader: Reader) -> None:
    """Its samples have predictions, and its class passes the contract tests, with the values of its `example`."""
    shown = reader.follow("own_net", *SHORT, "--trainer.max_epochs", "1", skip="pytest")
    assert "no predictions" not in shown
    with Path("experiments/rows/eval/test/samples.csv").open(encoding="utf-8") as file:
        rows = [*csv.DictReader(file)]
    assert all(row["prediction_name"] == row["prediction"] for row in rows)
    check_contract(MODEL_REGISTRY.resolve("RowReader", "here"), Path("contract"))


@pytest.mark.slow
def test_own_net_is_exported(reader: Reader) -> None:
    reader.follow("own_net", skip="pytest|cli.py")
    check_contract(MODEL_REGISTRY.resolve("RowReader", "here"), Path("contract"), exports=True)


class Linear(nn.Module):
    """One layer, whose argument has the name that those of timm have."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.layer(x.flatten(1)))


def create_model(model_name: str, pretrained: bool = False, in_chans: int = 3, num_classes: int = 1000) -> nn.Module:
    """Build a small net in place of that of timm."""
    assert (model_name, pretrained) == ("resnet18", False)
    return Linear(64 * in_chans, num_classes)


class ViTConfig:
    """Stand-in for the config of Hugging Face: it takes any settings."""

    def __init__(self, **settings: int) -> None:
        self.num_labels = settings["num_labels"]


@dataclass
class ImageClassifierOutput:
    """Stand-in for the output of Hugging Face."""

    logits: Tensor
    loss: Tensor | None = None


class ViTForImageClassification(nn.Module):
    """Stand-in for the net of Hugging Face."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.layer = nn.Linear(64, config.num_labels)

    def forward(self, pixel_values: Tensor | None = None, labels: Tensor | None = None, **kwargs: Any) -> object:
        assert pixel_values is not None
        assert labels is None
        return ImageClassifierOutput(logits=self.layer(pixel_values.flatten(1)))


def check_library_models(reader: Reader) -> None:
    reader.follow("library_models", *SHORT, "--trainer.max_epochs", "1")
    assert (reader.folder / "experiments/timm/eval/test/metrics.json").exists()
    assert len(saved("vit")["state_dict"]) > 0
    # The function of one's own needs no --trust; the one of a library does.
    assert main(["validate", "--ckpt_path", "experiments/vit"]) == 0
    assert main(["validate", "--ckpt_path", "experiments/timm"]) == 2


@pytest.mark.slow
def test_library_models(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    timm, transformers = ModuleType("timm"), ModuleType("transformers")
    monkeypatch.setattr(timm, "create_model", create_model, raising=False)
    for cls in (ViTConfig, ViTForImageClassification):
        monkeypatch.setattr(transformers, cls.__name__, cls, raising=False)
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    check_library_models(reader)
    net = project.load("experiments/vit").net
    assert isinstance(net, ViTForImageClassification)
    assert net.layer.out_features == 10


@pytest.mark.slow
def test_library_models_of_the_real_packages(reader: Reader) -> None:
    pytest.importorskip("timm")
    pytest.importorskip("transformers")
    check_library_models(reader)
    assert main(["export", "--ckpt_path", "experiments/vit"]) == 0


def test_pretrained_weights(reader: Reader) -> None:
    """The backbone is loaded under other names, the head is not; the best checkpoint is, with all tensors."""
    weights = ResNet(in_channels=1, num_classes=3).state_dict()
    names = {name: f"module.backbone.{name}".replace("backbone.head.", "fc.") for name in weights}
    Path("weights").mkdir()
    torch.save({"model": {names[name]: value for name, value in weights.items()}}, "weights/resnet.pth")
    rate = ("--model.optimizer.lr", "0", "--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1")
    shown = reader.follow("pretrained_weights", *rate)
    assert "loaded 54 of the model's 56 tensors from weights/resnet.pth" in shown
    assert "loaded 56 of the model's 56 tensors from experiments/from_file/checkpoints/best.ckpt" in shown
    state = saved("from_file")["state_dict"]
    assert torch.equal(state["net.stem.0.0.weight"], weights["stem.0.0.weight"])
    assert state["net.head.weight"].shape == (10, 64)


@pytest.mark.slow
def test_freeze(reader: Reader) -> None:
    """The backbone, with its statistics, is the same until epoch 2, and another after it."""
    shown = reader.follow("freeze", *SHORT, "--checkpoint.keep", "-1", "--trainer.max_epochs", "3")
    assert "loaded 56 of the model's 56 tensors" in shown
    assert "model.groups: 'net.st*' trains from epoch 3 on (" in shown
    start = saved("digits", "best")["state_dict"]
    frozen, trained = (saved("unfrozen", f"epoch_000{i}_step_00000{3 * i + 3}")["state_dict"] for i in (1, 2))
    for name in ("net.stem.0.0.weight", "net.stages.2.0.body.0.0.weight", "net.stem.0.1.running_mean"):
        assert not changed(start, frozen, name)
        assert changed(frozen, trained, name)
    assert changed(start, frozen, "net.head.weight")


@pytest.mark.slow
def test_early_stopping(reader: Reader) -> None:
    """The run ends after 5 validations without a better value, and counts on after the resume."""
    never = ("--trainer.callbacks.0.min_delta", "2", "--trainer.limit_train_batches", "1")
    reader.follow("early_stopping", *never, *SMALL, skip="--resume")
    assert summary("patient")["reason"].startswith("EarlyStopping: val/accuracy did not improve in the last 5 records")
    assert summary("patient")["epochs"] == 6
    best = saved("patient", "best")
    assert best["epoch"] + 1 == summary("patient")["best"]["epoch"]
    assert main(["fit", "--resume", "experiments/patient", "--trainer.callbacks.0.patience", "7"]) == 0
    assert summary("patient")["epochs"] == 8
    by_loss = ("--trainer.callbacks.0.monitor", "val/sum", "--trainer.callbacks.0.mode", "min")
    checkpoint = ("--checkpoint", "{monitor: val/sum, mode: min}", "--name", "by_loss")
    assert main(["fit", "--config", "configs/patient.yaml", *never, *SMALL, *by_loss, *checkpoint]) == 0
    assert summary("by_loss")["best"]["monitor"] == "val/sum"


@pytest.mark.slow
def test_change_lr(reader: Reader) -> None:
    shown = reader.follow("change_lr", *SHORT[:2], *SMALL, "--trainer.max_epochs", "1", skip="--resume")
    assert "lr 0.5" in shown
    shown = reader.follow("change_lr", "--trainer.max_epochs", "2", skip="--config|fork")
    assert "lr is 0.05, was 0.5" in shown
    shown = reader.follow("change_lr", "--trainer.max_epochs", "3", skip="--config|experiments/tuned ")
    rates = curves(Path("experiments/fork"))["lr-SGD"]
    assert [round(value, 6) for _, value in rates] == [0.01]
    assert summary("tuned")["epochs"] == 2
    groups = saved("tuned")["optimizer_states"][0]["param_groups"]
    assert groups[0]["lr"] == 0.05


def test_callback(reader: Reader) -> None:
    """The callback ends the run after 32 batches of 64 samples, and counts on when the run is resumed."""
    shown = reader.follow("callback", *SMALL)
    assert "SampleBudget.on_train_batch_end" in shown
    assert summary("budget")["steps"] == 32
    assert curves(Path("experiments/budget"))["samples"]
    states = saved("budget")["callbacks"]
    assert next(state for key, state in states.items() if "SampleBudget" in key) == {"seen": 2048}
    assert main(["fit", "--resume", "experiments/budget", "--trainer.callbacks.0.samples", "4000"]) == 0
    assert summary("budget")["steps"] == 63


@pytest.mark.slow
def test_gan(reader: Reader) -> None:
    """Both examples train, and draw pictures of the shape of the data."""
    options = ("--trainer.limit_train_batches", "2", "--trainer.max_epochs", "1", "--data.batch_size", "4")
    reader.follow("gan", *options, skip="predict")
    for name in ("flow", "gan"):
        argv = ["predict", "--ckpt_path", f"experiments/{name}", "--trainer.limit_predict_batches", "1"]
        assert main(argv) == 0
        assert len([*Path(f"experiments/{name}/eval/predict/prediction").glob("*.png")]) == 4
    assert len(saved("gan")["optimizer_states"]) == 2
    assert "moving_average" in saved("flow")


@pytest.mark.slow
def test_debug_nan(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    """The preset names the module in which the NaN begins, as the page shows it."""
    reader.follow("debug_nan", skip="cli.py")
    assert main(["fit", "--config", "configs/unstable.yaml", "--config", "configs/presets/debug.yaml"]) == 1
    shown = capfd.readouterr().err
    page = (ROOT / "docs/how_to/debug_nan.md").read_text(encoding="utf-8")
    told = page.partition("ERROR   ")[2].partition(" ...\n")[0]
    assert told in shown
    assert "\nReplay it: python cli.py replay " in shown


@pytest.mark.slow
def test_debug_nan_is_replayed(reader: Reader) -> None:
    """The loss of the step before is that of the page."""
    reader.follow("debug_nan", skip="cli.py")
    assert main(["fit", "--config", "configs/unstable.yaml", "--config", "configs/presets/debug.yaml"]) == 1
    assert "cross_entropy 1.292e+20" in reader.follow("debug_nan", skip="cli.py fit")

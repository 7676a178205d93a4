"""Tests of docs/recipes.md: each block of yaml, merged over the digits, trains a batch."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from project.models.resnet import ResNet
from tests.conftest import CONFIGS, Cli
from tests.template.conftest import ROOT

PAGE = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
BLOCKS = [
    pytest.param(text, id=section.partition("\n")[0])
    for section in PAGE.split("\n## ")[1:]
    for text in re.findall(r"^```yaml\n(.*?)^```$", section, re.M | re.S)
]


class Linear(nn.Module):
    """One layer, whose argument has the name that those of timm have."""

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures to logits."""
        return torch.as_tensor(self.layer(x.flatten(1)))


def create_model(model_name: str, pretrained: bool = False, in_chans: int = 3, num_classes: int = 1000) -> nn.Module:
    """Build a small net in place of that of timm."""
    assert (model_name, pretrained) == ("resnet18", False)
    return Linear(64 * in_chans, num_classes)


@pytest.fixture
def named_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the file and the package that blocks name."""
    weights = ResNet(in_channels=1, num_classes=3).state_dict()
    (tmp_path / "weights").mkdir()
    names = {name: f"backbone.{name}".replace("backbone.head.", "fc.") for name in weights}
    torch.save({names[name]: value for name, value in weights.items()}, tmp_path / "weights/resnet.pth")
    package = ModuleType("timm")
    monkeypatch.setattr(package, "create_model", create_model, raising=False)
    monkeypatch.setitem(sys.modules, "timm", package)


@pytest.mark.usefixtures("named_on_the_page")
@pytest.mark.parametrize("block", BLOCKS)
def test_recipes_train(block: str, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"base: {CONFIGS / 'digits.yaml'}\nname: recipe\n{block}")
    argv = ("--trainer.accelerator", "cpu", "--trainer.fast_dev_run", "true")
    ran = cli("fit", "--config", str(path), *argv)
    assert ran.code == 0, ran.err
    if "pretrained:" in block:
        assert "loaded 54 of the model's 56 tensors from weights/resnet.pth" in ran.err

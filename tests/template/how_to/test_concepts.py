"""Tests of the examples of docs/names.md and docs/components.md."""

import json
import re

import pytest

from project.commands import main
from project.registry import MODEL_REGISTRY
from tests.contract import test_models as contract
from tests.template.conftest import ROOT
from tests.template.how_to.reader import Reader

SHORT = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3")


def check_contract(name: str) -> None:
    """Run tests of the contract of models for a class of a page."""
    cls = MODEL_REGISTRY.resolve(name, "model.net")
    contract.test_gradients_reach_every_parameter(cls)
    contract.test_samples_do_not_mix_in_evaluation(cls)


def test_names(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    """Tensors reach the loss and the metric whose parameters name them, and a wrong name is told as the page shows."""
    reader.follow("../names", *SHORT)
    metrics = json.loads((reader.folder / "experiments/names/eval/test/metrics.json").read_text(encoding="utf-8"))
    assert metrics.keys() == {"cross_entropy", "small_features", "sum", "accuracy", "top3"}
    assert metrics["sum"] == pytest.approx(metrics["cross_entropy"] + 0.01 * metrics["small_features"], rel=1e-5)
    assert metrics["top3"] > metrics["accuracy"] > 0
    page = (ROOT / "docs/names.md").read_text(encoding="utf-8")
    command, _, message = page.partition("$ python cli.py ")[2].partition("```")[0].partition("\n")
    assert main([*command.split(), "--name", "wrong"]) == 2
    assert capfd.readouterr().err.endswith(message)


def test_components(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    """The annotations of the example take entries of models, and refuse a number out of bounds."""
    reader.follow("../components")
    check_contract("Stack")
    entry = "{type: Stack, parts: [], features: 64, num_classes: 10}"
    fit = ["fit", "--config", "configs/digits.yaml", "--name", "stack", "--model.net", entry]
    assert main([*fit, *SHORT]) == 0
    assert main([*fit, "--print_config", "--model.net.dropout", "1.0"]) == 2
    assert "model.net.dropout" in capfd.readouterr().err
    assert main([*fit, "--print_config", "--model.net.parts", "[{type: CrossEntropy}]"]) == 2
    assert re.search(r"model\.net\.parts\.0", capfd.readouterr().err)

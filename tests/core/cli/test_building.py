"""A trained module is loaded in Python with its weights, without its data."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import pytorch_lightning as pl
import torch
from loguru import logger
from torch import Tensor, nn

from project import load
from project.core.cli import building
from project.core.cli.building import PartCLI, load_module
from project.core.config.configuration import build_config
from project.core.errors import ConfigError
from project.core.model.module import SupervisedModule
from tests.components import MLP
from tests.conftest import TINY, Cli

PARTS: tuple[Literal["model", "data"], ...] = ("model", "data")


def test_load_returns_the_trained_module_in_evaluation_mode(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    run = tmp_path / "experiments/tiny"
    saved = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    for path in (run, str(run), run / "checkpoints/last.ckpt"):
        module = load(path)
        assert isinstance(module, SupervisedModule)
        assert not any(part.training for part in module.modules())
        weights = module.state_dict()
        assert weights.keys() == saved.keys()
        assert all(torch.equal(weights[name], saved[name]) for name in saved)
    with torch.no_grad():
        assert module({"image": torch.zeros(2, 1, 8, 8)})["logits"].shape == (2, 10)


@pytest.mark.parametrize(
    "copy", [deepcopy, lambda module: pickle.loads(pickle.dumps(module))], ids=["deepcopy", "pickle"]
)
def test_copy_of_a_module_computes_with_its_own_parts(
    copy: Callable[[SupervisedModule], SupervisedModule], cli: Cli, tiny: Callable[..., str]
) -> None:
    """Start methods such as `ddp_spawn` pickle the module; torchmetrics' own methods cannot be pickled."""
    assert cli("fit", "--config", tiny()).code == 0
    module = load("experiments/tiny")
    assert isinstance(module, SupervisedModule)
    copied = copy(module)
    batch = {"image": torch.rand(3, 1, 8, 8), "label": torch.tensor([0, 1, 2])}
    output = copied(batch)
    assert torch.equal(output["logits"], module(batch)["logits"])
    term, own = copied.metric_terms["accuracy"], module.metric_terms["accuracy"]
    term.call(batch, output)
    assert (term.component.update_count, own.component.update_count) == (1, 0)
    assert copied.call_net.method is copied.net


def test_load_does_not_need_the_data(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    filed = {"type": "tests.core.components.Filed"}
    config = tiny({"data": {"train": filed, "val": filed, "data_dir": "pictures", "batch_size": 2}})
    assert cli("fit", "--config", config).code == 0
    (tmp_path / "pictures").rmdir()
    assert isinstance(load(tmp_path / "experiments/tiny"), SupervisedModule)


def test_load_of_a_missing_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"checkpoint {tmp_path}/tiny does not exist"):
        load(tmp_path / "tiny")


class NoArguments(pl.LightningModule):
    """Module whose constructor has no arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch["image"].flatten(1)).mean()
        return loss


def test_module_without_arguments_trains_and_loads(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"type": f"{__name__}.NoArguments"}, "data": {"val": None}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    saved = torch.load(tmp_path / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    module = load(tmp_path / "experiments/tiny")
    assert isinstance(module, NoArguments)
    assert torch.equal(module.layer.weight, saved["layer.weight"])


def test_part_cli_builds_only_the_module() -> None:
    config = build_config({key: value for key, value in TINY.items() if key != "base"})
    cli = PartCLI(config, "model")
    assert isinstance(cli.model.net, MLP)
    assert [cli.datamodule, cli.trainer] == [None, None]


def test_ops_of_another_project_give_a_warning(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    messages: list[Any] = []
    sink = logger.add(messages.append, level="WARNING", format="{message}")
    try:
        load_module(tmp_path / "experiments/tiny")
        assert messages == []
        monkeypatch.setitem(
            __import__("sys").modules, "ops", SimpleNamespace(_build=SimpleNamespace(NAMESPACE="other"))
        )
        load_module(tmp_path / "experiments/tiny")
    finally:
        logger.remove(sink)
    (message,) = messages
    assert message.startswith("`ops` is that of another project (other); start Python in the directory of ")


def test_parser_is_built_once_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building it takes as long as parsing, and the runs of a sweep have the same; a module needs no data."""
    monkeypatch.setattr(building, "_parsers", {})
    trees = [{key: value for key, value in (TINY | {"seed": seed}).items() if key != "base"} for seed in (1, 2)]
    built = [PartCLI(build_config(tree), part) for tree in trees for part in PARTS]
    assert built[0].parser is built[2].parser
    assert built[1].parser is built[3].parser
    assert built[0].parser is not built[1].parser
    assert (built[2].config.get("data"), built[3].config.get("model")) == (None, None)

"""Weights without a configuration are evaluated and fine-tuned from under the names that other programs give them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from project.core.errors import ConfigError
from project.core.run.bare_weights import bare_weights
from tests.conftest import Cli
from tests.core.fitted_components import Standardize


class Module(nn.Module):
    """Module with a net, and with a tensor of its own that no file of weights has."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)
        self.register_buffer("weight", torch.tensor(5.0))


@pytest.mark.parametrize("wrap", [lambda weights: weights, lambda weights: {"state_dict": weights, "epoch": 3}])
def test_weights_are_loaded(wrap: Callable[[dict[str, Tensor]], object]) -> None:
    net, module = nn.Linear(2, 3), Module()
    bare_weights(Path("x.pt"), wrap(net.state_dict())).load_weights(module)
    assert torch.equal(module.net.weight, net.weight)
    assert torch.equal(module.net.bias, net.bias)
    assert module.weight == 5


@pytest.mark.parametrize("content", [{"a": 3}, [1], {}, None, {3: torch.zeros(1)}])
def test_file_without_weights_is_refused(content: object) -> None:
    with pytest.raises(ConfigError, match=r"^x\.pt contains no weights: "):
        bare_weights(Path("x.pt"), content)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ({"weight": torch.zeros(3, 2)}, "in the file: none; in the model: net.bias (3,)"),
        (
            {"weight": torch.zeros(1), "bias": torch.zeros(3)},
            "net.weight is (1,) in the file and (3, 2) in the model",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, Tensor], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bare_weights(Path("x.pt"), weights).load_weights(Module())
    assert str(caught.value) == f"checkpoint x.pt does not fit this model\n{problem}"


def test_weights_without_what_is_fitted_are_refused() -> None:
    module = Module()
    module.add_module("prepare", nn.Sequential(Standardize()))
    weights = nn.Linear(2, 3).state_dict()
    with pytest.raises(
        ConfigError, match=r"^model\.prepare\.0\.mean is fitted to the training set, and x\.pt does not"
    ):
        bare_weights(Path("x.pt"), weights).load_weights(module)
    state = module.state_dict() | {f"prepare.0.{name}": torch.full((3, 1, 1), 2.0) for name in ("mean", "std")}
    bare_weights(Path("x.pt"), state).load_weights(module)
    assert torch.equal(module.state_dict()["prepare.0.std"], state["prepare.0.std"])


def test_stages_take_weights_with_a_config(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """They compute what they compute of a checkpoint with these weights, and overwrite no earlier results."""
    config = tiny()
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    torch.save({name.removeprefix("net."): value for name, value in state.items()}, tmp_path / "weights.pt")
    assert cli("test", "--ckpt_path", run / "checkpoints/last.ckpt").code == 0
    ran = cli("test", "--ckpt_path", "weights.pt", "--config", config)
    assert ran.code == 0, ran.err
    assert "results are in eval/weights/test" in ran.err
    results = [folder / "metrics.json" for folder in (run / "eval/test", tmp_path / "eval/weights/test")]
    one, two = (json.loads(path.read_text()) for path in results)
    assert one == two
    ran = cli("test", "--ckpt_path", "weights.pt", "--config", config)
    assert (ran.code, ran.err) == (
        2,
        "error: eval/weights/test already contains results of weights.pt; set --results_dir\n",
    )
    ran = cli("predict", "--ckpt_path", "weights.pt", "--config", config, "--results_dir", "out")
    assert ran.code == 0, ran.err
    assert (tmp_path / "out/samples.csv").is_file()

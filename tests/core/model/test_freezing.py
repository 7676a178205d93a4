"""Groups are frozen, always or until an epoch, with their running statistics."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from project.core.errors import ConfigError
from project.core.model.freezing import freeze
from project.core.model.optimization import FreezeUntil, ParameterGroup, parameter_groups
from project.models.base import Model
from tests.conftest import Cli
from tests.core.components import IndexImages

HERE = "tests.core.model.test_freezing"
LENGTH, EPOCHS = 16, 4


class Normed(Model):
    """Net with a batch norm, and the same first weights each time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.body(image))}


class Pictures(IndexImages):
    """Dataset of different pictures."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        picture = torch.linspace(0, 1, 64).pow(index).view(1, 8, 8)
        return {"image": picture, "label": torch.tensor(index % 10)}


def train_reference(until: int, freezes_statistics: bool) -> dict[str, Tensor]:
    """Train in plain torch, with two optimizers, of which that of the body begins late; return the weights."""
    net = Normed()
    head, body = (SGD(part.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1) for part in (net.head, net.body))
    batch = [Pictures(LENGTH)[index] for index in range(LENGTH)]
    images, labels = (torch.stack([sample[name] for sample in batch]) for name in ("image", "label"))
    for epoch in range(EPOCHS):
        net.body[2].train(not freezes_statistics or epoch >= until)
        net.zero_grad()
        nn.functional.cross_entropy(net(images)["logits"], labels).backward()
        head.step()
        if epoch >= until:
            body.step()
    return {f"net.{name}": value for name, value in net.state_dict().items()}


@pytest.mark.parametrize("freezes_statistics", [True, False])
def test_group_trains_from_its_epoch_on(freezes_statistics: bool, cli: Cli, tiny: Callable[..., str]) -> None:
    """Before it, neither gradients nor weight decay nor momentum change it."""
    group = {"match": "net.body.*", "freeze": {"until_epoch": 2}, "freeze_statistics": freezes_statistics}
    model = {
        "net": {"type": f"{HERE}.Normed"},
        "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
        "groups": [group],
    }
    data = {"batch_size": LENGTH, "train": {"type": f"{HERE}.Pictures", "length": LENGTH}}
    ran = cli("fit", "--config", tiny({"model": model, "data": data, "trainer": {"max_epochs": EPOCHS}}))
    assert ran.code == 0, ran.err
    thawed = "model.groups: 'net.body.*' trains from epoch 3 on (536 parameters)"
    assert ran.err.count("trains from epoch") == ran.err.count(thawed) == 1
    assert ran.err.index(" epoch 2/") < ran.err.index(thawed) < ran.err.index(" epoch 3/")
    saved = torch.load("experiments/tiny/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    expected = train_reference(2, freezes_statistics)
    assert saved.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(saved[name], value, msg=name)


def test_group_that_never_trains_is_a_warning(cli: Cli, tiny: Callable[..., str]) -> None:
    group = {"match": "net.head.*", "freeze": {"until_epoch": 1}}
    ran = cli("fit", "--config", tiny({"model": {"groups": [group]}, "data": {"val": None}}))
    assert ran.code == 0
    message = "model.groups: 'net.head.*' never trains: it is frozen for 1 epochs, and the run has 1"
    assert ran.err.count(message) == 1


@pytest.mark.parametrize(
    ("freeze", "share"),
    [({"until_epoch": 3}, "90 trained, 536 frozen until_epoch 3"), (True, "90 trained, 536 frozen")],
)
def test_log_says_what_is_frozen(freeze: object, share: str, cli: Cli, tiny: Callable[..., str]) -> None:
    """It once said `all trained` of a part that is frozen until an epoch."""
    model = {"net": {"type": f"{HERE}.Normed"}, "groups": [{"match": "net.body.*", "freeze": freeze}]}
    config = tiny({"model": model, "trainer": {"enable_model_summary": True}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    assert f": 626 parameters, {share}: net (Normed) 626\n" in ran.err


def test_parameters_of_a_frozen_group_are_not_optimized() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    groups = [ParameterGroup("0.*", freeze=True)]
    freeze(net, groups)
    assert [len(group["params"]) for group in parameter_groups(net, groups)] == [2]
    assert not net[0].weight.requires_grad
    assert net[1].weight.requires_grad


def test_parameters_frozen_by_the_net_stay_frozen() -> None:
    net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    groups = [ParameterGroup("*.weight", lr=1.0)]
    freeze(net, groups)
    assert [len(group["params"]) for group in parameter_groups(net, groups)] == [1, 1]
    assert not net[0].weight.requires_grad


@pytest.mark.parametrize("how", [True, FreezeUntil(1)])
def test_nothing_to_train_is_an_error(how: bool | FreezeUntil) -> None:
    net = nn.Linear(2, 2)
    groups = [ParameterGroup("*", freeze=how)]
    freeze(net, groups)
    with pytest.raises(ConfigError, match=r"^model\.groups freezes every parameter: there is nothing to train$"):
        parameter_groups(net, groups)
    with pytest.raises(ConfigError, match=r"^model\.net has no parameters: there is nothing to train$"):
        parameter_groups(nn.Flatten(), [])

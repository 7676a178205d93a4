import pytest
import torch

from project.models.base import Model
from project.models.mlp import MLP
from project.models.resnet import ResNet

NETS = [
    MLP(64, 10),
    MLP(64, 10, depth=0),
    MLP(64, 10, hidden=7, depth=3, dropout=0.5),
    MLP(64, 10, hidden=[7, 9], batch_norm=True),
    ResNet(1, 10),
    ResNet(1, 10, 4, [2, 1]),
]


@pytest.mark.parametrize("net", NETS)
def test_logits_and_gradients(net: Model) -> None:
    output = net(torch.rand(3, 1, 8, 8))
    assert isinstance(output, dict)
    assert output["logits"].shape == (3, 10)
    output["logits"].sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("net", [MLP(64, 10), ResNet(1, 10)])
def test_predict_returns_the_likeliest_class_and_its_probability(net: MLP | ResNet) -> None:
    logits = torch.tensor([[0.0, 2.0, 0.0], [5.0, 0.0, 0.0]])
    prediction = net.predict(logits=logits)
    assert prediction["label"].tolist() == [1, 0]
    torch.testing.assert_close(prediction["probability"], logits.softmax(1).amax(1))


def test_resnet_stages_halve_the_picture_and_double_the_channels() -> None:
    net = ResNet(3, 10, width=4, blocks=[1, 2, 1])
    assert net.stages(torch.rand(2, 4, 8, 8)).shape == (2, 16, 2, 2)
    assert [len(stage) for stage in net.stages] == [1, 2, 1]  # type: ignore[arg-type]
    assert net(torch.rand(2, 3, 9, 7))["logits"].shape == (2, 10)


def test_mlp_layer_sizes() -> None:
    net = MLP(64, 10, hidden=7, depth=3)
    assert sum(parameter.numel() for parameter in net.parameters()) == 64 * 7 + 7 + 2 * (7 * 7 + 7) + 7 * 10 + 10
    net = MLP(64, 10, hidden=[7, 9], batch_norm=True)
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [
        *((7, 64), (7,), (7,), (7,)),
        *((9, 7), (9,), (9,), (9,)),
        *((10, 9), (10,)),
    ]

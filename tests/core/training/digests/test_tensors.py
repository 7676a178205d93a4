"""Names of tensors: in nested batches, of shared and lazy parameters, and in the states of optimizers."""

from typing import Any

import torch
from torch import nn

from project.core.training.digests.tensors import ModuleTensors, flatten, has_bits, optimizer_tensors


def test_tensors_and_numbers_in_nested_batches_are_named_by_their_paths() -> None:
    one, two = torch.ones(1), torch.ones(2)
    batch: Any = {"image": one, "boxes": [two, (one, {"n": 3})], "name": "x", 0: 0.5, "large": 2**70, "none": None}
    found = dict(flatten(batch, ""))
    assert [*found] == ["image", "boxes.0", "boxes.1.0", "boxes.1.1.n", "0"]
    assert (found["boxes.1.1.n"].dtype, found["0"].dtype) == (torch.int64, torch.float64)
    assert [*flatten(one, "")] == [("", one)]


def test_shared_parameter_has_one_name_and_buffers_are_those_of_checkpoints() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2, affine=False))
    net[1].weight = net[0].weight
    net.register_buffer("cache", torch.ones(1), persistent=False)
    tensors = ModuleTensors(net)
    assert tensors.parameter_names == [f"parameter {name}" for name in ("0.weight", "0.bias", "1.bias")]
    assert [name for name, _ in tensors.buffers()] == [
        f"buffer 2.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")
    ]


def test_lazy_parameters_are_listed_when_they_have_values() -> None:
    net = nn.Sequential(nn.LazyLinear(2), nn.Linear(2, 1))
    before = ModuleTensors(net)
    assert (before.parameter_names, before.has_lazy) == (["parameter 1.weight", "parameter 1.bias"], True)
    net(torch.ones(1, 3))
    after = ModuleTensors(net)
    assert (len(after.parameter_names), after.has_lazy, after.left_out) == (4, False, [])


def test_states_of_optimizers_are_named_by_key_and_parameter() -> None:
    net, other = nn.Linear(2, 1), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([*net.parameters(), other], lr=0.1, momentum=0.9)
    (net(torch.ones(1, 2)) + other).sum().backward()
    optimizer.step()
    names = {parameter: name for name, parameter in net.named_parameters()}
    found = [name for name, _ in optimizer_tensors([optimizer], names)]
    assert found == [f"optimizer 0 momentum_buffer {name}" for name in ("weight", "bias", "2")]


def test_tensors_without_memory_of_their_own_are_known() -> None:
    assert has_bits(torch.ones(2)) and has_bits(nn.Parameter(torch.ones(2))) and has_bits(torch.ones(0))  # noqa: PT018
    assert not has_bits(torch.ones(2).to_sparse())
    assert not has_bits(torch.ones(2, device="meta"))
    assert not has_bits(nn.LazyLinear(2).weight)

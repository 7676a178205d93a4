"""The digest of a state, and what differs between two states."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from project.core.run.state_digest import differing_leaves, state_digest


def content() -> dict[str, Any]:
    """Return what a checkpoint contains."""
    weight = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    moments = {"step": torch.tensor(3.0), "exp_avg": weight / 7, "exp_avg_sq": weight.bfloat16()}
    return {
        "epoch": 1,
        "global_step": 4,
        "state_dict": {"net.weight": weight, "net.count": torch.tensor(3), "net.empty": torch.empty(0, 2)},
        "optimizer_states": [
            {"state": {0: moments}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99), "fused": None}]}
        ],
        "lr_schedulers": [{"last_epoch": 4, "_last_lr": [0.1]}],
        "loops": {
            "fit_loop": {
                "epoch_progress": {"total": {"ready": 4}, "current": {"ready": 1}},
                "epoch_loop.val_loop.batch_progress": {"total": {"ready": 4}},
                "state_dict": {},
            },
            "validate_loop": {"epoch_progress": {"total": {"ready": 4}}},
        },
        "callbacks": {"Checkpoints": {"scores": {}}},
        "run_config": "name: x",
        "run_header": {"format": 1},
    }


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "weight": (lambda c: c["state_dict"]["net.weight"].view(-1)[3:4].add_(3e-7), "state_dict.net.weight"),
    "sign of zero": (lambda c: c["state_dict"]["net.weight"].view(-1)[0:1].neg_(), "state_dict.net.weight"),
    "shape": (lambda c: c["state_dict"].update({"net.empty": torch.empty(2, 0)}), "state_dict.net.empty"),
    "dtype": (lambda c: c["state_dict"].update({"net.count": torch.tensor(3).int()}), "state_dict.net.count"),
    "removed": (lambda c: c["state_dict"].pop("net.count"), "state_dict.net.count"),
    "added": (lambda c: c["state_dict"].update(more=torch.zeros(1)), "state_dict.more"),
    "moment": (
        lambda c: c["optimizer_states"][0]["state"][0]["exp_avg"].view(-1)[1:2].add_(1e-8),
        "optimizer_states.0.state.0.exp_avg",
    ),
    "lr": (
        lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr=0.1 + 1e-16),
        "optimizer_states.0.param_groups.0.lr",
    ),
    "scheduler": (lambda c: c["lr_schedulers"][0].update(last_epoch=5), "lr_schedulers.0.last_epoch"),
    "step": (lambda c: c.update(global_step=5), "global_step"),
    "progress": (
        lambda c: c["loops"]["fit_loop"]["epoch_progress"]["current"].update(ready=2),
        "loops.fit_loop.epoch_progress.current.ready",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_the_state_changes_the_digest_and_is_named(change: str) -> None:
    apply, name = CHANGES[change]
    changed = content()
    apply(changed)
    assert state_digest(changed) != state_digest(content())
    assert differing_leaves(content(), changed) == [name]


def test_digest_is_pinned() -> None:
    """Chains of earlier versions are verified by later ones."""
    assert state_digest(content()) == "ff8f03a903109e21138edd5a4f64fbcb021747210a061dbc1094f86022d9cc68"


def test_what_is_no_state_changes_nothing() -> None:
    """Counters of validations, callbacks, the header, the order of names, how tensors lie in memory."""
    changed = content()
    changed["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"] = {"ready": 99}
    changed["loops"]["validate_loop"] = {}
    changed |= {"callbacks": {}, "run_config": "name: y", "run_header": {}}
    changed["state_dict"] = dict(reversed(changed["state_dict"].items()))
    changed["state_dict"]["net.weight"] = changed["state_dict"]["net.weight"].t().contiguous().t()
    changed["lr_schedulers"][0]["last_epoch"] = 4.0
    assert state_digest(changed) == state_digest(content())
    assert differing_leaves(content(), changed) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "text", 2**70, 0.1])
def test_any_plain_value_has_a_digest(value: object) -> None:
    state = {"lr_schedulers": [{"value": value}]}
    assert state_digest(state) == state_digest(copy.deepcopy(state)) != state_digest({"lr_schedulers": [{"value": 7}]})


def test_any_tensor_has_a_digest() -> None:
    tensor = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    tensors = [
        tensor,
        tensor.to_sparse(),
        tensor.to(torch.complex64).conj(),
        tensor.bool(),
        tensor.half(),
        tensor[0, 1],
    ]
    for each in tensors:
        assert differing_leaves({"state_dict": {"x": each}}, {"state_dict": {"x": each.clone()}}) == []
        assert len(state_digest({"state_dict": {"x": each}})) == 64


def test_bits_of_nan_count() -> None:
    one, two = (torch.tensor([bits], dtype=torch.int32).view(torch.float32) for bits in (0x7FC00000, 0x7FC00001))
    assert differing_leaves({"state_dict": {"x": one}}, {"state_dict": {"x": two}}) == ["state_dict.x"]

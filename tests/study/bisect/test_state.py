"""States of checkpoints are compared bit for bit, by names that people know."""

import torch

from project.study.bisect.state import differing, digest_state, mismatched_weights, trained_state


def test_trained_state_contains_what_the_next_step_depends_on() -> None:
    """With `model.ema`, the weights in `state_dict` are the averages."""
    trained, average, moment = torch.ones(2), torch.zeros(2), torch.full((2,), 3.0)
    content = {
        "state_dict": {"w": average},
        "moving_average": {"trained_state_dict": {"w": trained}, "averages": {"w": average}},
        "optimizer_states": [{"state": {0: {"exp_avg": moment}}, "param_groups": [{"lr": 0.1, "fused": None}]}],
        "lr_schedulers": [{"last_epoch": 4}],
        "callbacks": {"Checkpoints": {"path": "/tmp"}},
    }
    assert trained_state(content) == {
        "weight w": trained,
        "average w": average,
        "optimizer 0.state.0.exp_avg": moment,
        "optimizer 0.param_groups.0.lr": 0.1,
        "scheduler 0.last_epoch": 4,
    }


def test_differing_names_and_their_digests() -> None:
    one = {"weight a": torch.ones(2), "weight b": torch.zeros(1), "lr": 0.1}
    two = one | {"weight b": torch.tensor([1e-45]), "more": 1}
    assert differing(one, two) == ["weight b", "more"]
    first, second = digest_state(one), digest_state(two)
    assert [name for name in first if first[name] != second[name]] == ["weight b"]


def test_other_shapes_and_names_are_another_model() -> None:
    one = {"weight a": torch.ones(2), "weight b": torch.ones(1), "average a": torch.ones(2)}
    two = {"weight a": torch.ones(3), "weight c": torch.ones(1)}
    assert mismatched_weights(one, one) == []
    assert mismatched_weights(one, two) == [
        "weight a is (2,) in A and (3,) in B",
        "only A has weight b",
        "only B has weight c",
    ]

"""Any optimizer and scheduler trains; parameter groups, clipping, precision and compilation work together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from project.core.errors import ConfigError
from project.core.model.optimization import Clip, ParameterGroup, parameter_groups
from tests.conftest import Cli, slow_except
from tests.exactness import curves

# Muon takes only matrices, and SparseAdam only sparse gradients.
OPTIMIZERS = (
    "Adadelta Adafactor Adagrad Adam AdamW Adamax ASGD LBFGS NAdam RAdam RMSprop Rprop SGD".split()  # noqa: SIM905
)
FUSED = {"Adagrad", "Adam", "AdamW", "SGD"}
SCHEDULERS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 1},
    "MultiStepLR": {"milestones": [1]},
    "ExponentialLR": {"gamma": 0.5},
    "CosineAnnealingLR": {"T_max": 2},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 10},
    "WarmupCosine": {},
    "Poly": {"power": 1.0},
}


def load_checkpoint(name: str = "tiny") -> dict[str, Any]:
    """Return the last checkpoint of a run."""
    loaded: dict[str, Any] = torch.load(f"experiments/{name}/checkpoints/last.ckpt", weights_only=True)
    return loaded


@pytest.mark.parametrize("name", slow_except(OPTIMIZERS, "SGD", "AdamW", "LBFGS", "Rprop"))
def test_any_optimizer_trains(name: str, cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny(), "--model.optimizer", name, "--data.val", "null").code == 0
    (group,) = load_checkpoint()["optimizer_states"][0]["param_groups"]
    assert group.get("fused") is (True if name in FUSED else None)


def test_yaml_decides_whether_the_optimizer_is_fused(cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny(), "--model.optimizer.fused", "false").code == 0
    assert load_checkpoint()["optimizer_states"][0]["param_groups"][0]["fused"] is False
    assert cli("fit", "--config", tiny(), "--model.optimizer.foreach", "true", "--replace").code == 0
    assert load_checkpoint()["optimizer_states"][0]["param_groups"][0]["fused"] is None


@pytest.mark.parametrize("interval", slow_except(["step", "epoch"], "step"))
@pytest.mark.parametrize("name", SCHEDULERS)
def test_any_scheduler_steps_by_step_and_by_epoch(name: str, interval: str, cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny(
        {"model": {"scheduler": {"type": name} | SCHEDULERS[name], "interval": interval}, "trainer": {"max_epochs": 2}}
    )
    assert cli("fit", "--config", config).code == 0
    (state,) = load_checkpoint()["lr_schedulers"]
    assert state["last_epoch"] == (4 if interval == "step" else 2)
    if name in ("WarmupCosine", "Poly"):
        assert state["total"] == (4 if interval == "step" else 2)  # the length of the run
        assert state["_last_lr"] == pytest.approx([0])


@pytest.mark.parametrize(
    ("trainer", "epochs"),
    [
        ({"max_steps": 8, "max_epochs": 1000}, 2),
        ({"max_steps": 9, "max_epochs": 1000}, 3),  # the last epoch is not whole
        ({"max_steps": 8, "max_epochs": -1}, 2),
        ({"max_steps": 8, "max_epochs": None}, 2),
        ({"max_steps": 1000, "max_epochs": 3}, 3),
        ({"max_steps": 5, "max_epochs": 9, "accumulate_grad_batches": 2}, 3),
        ({"max_steps": 4, "max_epochs": 9, "accumulate_grad_batches": 3}, 2),  # the last step of an epoch has 1 batch
        ({"max_steps": 20, "max_epochs": 9, "limit_train_batches": 1.0}, 2),  # 1269 samples, 19 batches of 64
    ],
)
@pytest.mark.parametrize("name", slow_except(["WarmupCosine", "Poly"], "Poly"))
def test_schedule_by_epoch_has_the_length_of_the_run(
    name: str, trainer: dict[str, Any], epochs: int, cli: Cli, tiny: Callable[..., str]
) -> None:
    over = {"model": {"scheduler": {"type": name}}, "trainer": {"limit_train_batches": 4} | trainer}
    ran = cli("fit", "--config", tiny(over), "--data.val", "null")
    assert ran.code == 0, ran.err
    saved = load_checkpoint()
    assert saved["lr_schedulers"][0]["total"] == epochs == saved["epoch"] + 1


@pytest.mark.parametrize(
    ("trainer", "interval", "length"),
    [
        ({"max_epochs": 2}, "epoch", 2),
        ({"max_epochs": 2, "max_steps": 4}, "epoch", None),
        ({"max_epochs": 2}, "step", None),
        ({"max_epochs": 2, "max_steps": 4, "limit_train_batches": 2}, "epoch", 2),
        ({"max_epochs": -1}, "epoch", None),
    ],
)
def test_schedule_of_a_run_of_unknown_length_needs_total(
    trainer: dict[str, Any], interval: str, length: int | None, cli: Cli, tiny: Callable[..., str]
) -> None:
    over = {
        "model": {"scheduler": {"type": "Poly"}, "interval": interval},
        "data": {"train": {"type": "tests.core.components.IndexStream"}, "batch_size": 2},
        "trainer": {"limit_train_batches": 1.0} | trainer,
    }
    ran = cli("fit", "--config", tiny(over), "--data.val", "null")
    if length is not None:
        assert ran.code == 0, ran.err
        assert load_checkpoint()["lr_schedulers"][0]["total"] == length
        return
    assert ran.code == 2
    assert (
        f"error: model.scheduler needs `total`, in {interval}s, because the length of the run is not known" in ran.err
    )


def test_reduce_lr_on_plateau_follows_the_monitored_value(cli: Cli, tiny: Callable[..., str]) -> None:
    scheduler = {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0, "threshold": 0.99, "factor": 0.5}
    assert cli("fit", "--config", tiny({"model": {"scheduler": scheduler}, "trainer": {"max_epochs": 3}})).code == 0
    # Lightning saves the checkpoint of an epoch before this scheduler steps.
    assert load_checkpoint()["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.01 / 2)


def test_reduce_lr_on_plateau_follows_a_warmup(cli: Cli, tiny: Callable[..., str]) -> None:
    plateau = {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0, "threshold": 0.99, "factor": 0.5}
    scheduler = {"type": "Warmup", "length": 2, "after": plateau}
    assert cli("fit", "--config", tiny({"model": {"scheduler": scheduler}, "trainer": {"max_epochs": 5}})).code == 0
    points = dict(curves(Path("experiments/tiny"))["lr-AdamW"])
    # The first value after the warm-up is the best so far; each further one is too similar.
    assert [points[step] for step in (2, 4, 6, 8, 10)] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01, 0.005])


def test_groups_have_settings_of_their_own_and_freeze(cli: Cli, tiny: Callable[..., str]) -> None:
    groups = [
        {"match": "net.head.*", "lr": 0.5, "weight_decay": 0},
        {"match": "net.body.1.*", "freeze": True},
        {"match": "*.bias", "weight_decay": 0.25, "lr_scale": 0.5},
    ]
    assert cli("fit", "--config", tiny({"model": {"groups": groups}})).code == 0
    saved = load_checkpoint()
    found = [
        (group["name"], group["lr"], group["weight_decay"], len(group["params"]))
        for group in saved["optimizer_states"][0]["param_groups"]
    ]
    assert found == [("rest", 0.01, 0.01, 1), ("net.head.*", 0.5, 0.0, 2), ("*.bias", 0.005, 0.25, 1)]
    config = tiny({"model": {"groups": groups}})
    assert cli("fit", "--config", config, "--name", "longer", "--trainer.limit_train_batches", "4").code == 0
    moved = {
        name
        for name, weight in load_checkpoint("longer")["state_dict"].items()
        if not weight.equal(saved["state_dict"][name])
    }
    assert moved == {f"net.{layer}.{kind}" for layer in ("body.4", "head") for kind in ("weight", "bias")}


def test_parameter_belongs_to_the_first_group_that_matches() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    groups = parameter_groups(net, [ParameterGroup("0.weight", lr=1.0), ParameterGroup("0.*", lr=2.0)])
    assert [(group.get("lr"), len(group["params"])) for group in groups] == [(None, 2), (1.0, 1), (2.0, 1)]


KNOWN = "0.weight, 0.bias, 1.weight, 1.bias"


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["0.*", "0.weight"], "all parameters that '0.weight' matches are in earlier groups; list it first"),
        (["1.weigth"], f"'1.weigth' matches no parameter; did you mean '1.weight'?\nknown: {KNOWN}"),
    ],
)
def test_group_without_parameters_is_an_error(patterns: list[str], message: str) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(ConfigError) as caught:
        parameter_groups(net, [ParameterGroup(pattern) for pattern in patterns])
    assert str(caught.value) == f"model.groups: {message}"


def test_clip_value_changes_after_the_warmup() -> None:
    assert [Clip(1.0).value_at(epoch) for epoch in (0, 9)] == [1, 1]
    assert [Clip(1.0, 2, 0.1).value_at(epoch) for epoch in range(4)] == [1, 1, 0.1, 0.1]
    assert [Clip(0.0, 1, 0.1).value_at(epoch) for epoch in range(2)] == [0, 0.1]
    assert Clip().value_at(0) == 0
    active = [clip.is_active for clip in (Clip(), Clip(1.0), Clip(0.0, 1, 0.1), Clip(0.0, 1, 0.0))]
    assert active == [False, True, True, False]


@pytest.mark.parametrize(("algorithm", "order"), [("norm", 2.0), ("value", float("inf"))])
def test_gradients_are_clipped_by_epoch(algorithm: str, order: float, cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny(
        {
            "model": {"clip": {"value": 0.01, "warmup_epochs": 1, "value_after": 0.001, "algorithm": algorithm}},
            "trainer": {
                "max_epochs": 2,
                "callbacks": [{"type": "tests.core.components.GradientNorms", "order": order}],
            },
        }
    )
    assert cli("fit", "--config", config).code == 0
    norms = torch.load("norms.pt")
    assert norms == pytest.approx([0.01, 0.01, 0.001, 0.001], rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precision_clipping_and_accumulation_combine(precision: str, cli: Cli, tiny: Callable[..., str]) -> None:
    argv = ["--trainer.precision", precision, "--trainer.accumulate_grad_batches", "2", "--model.clip.value", "1"]
    assert cli("fit", "--config", tiny(), *argv).code == 0
    saved = load_checkpoint()
    assert saved["global_step"] == 1
    # Lightning does not allow a fused optimizer with clipping under mixed precision.
    fused = saved["optimizer_states"][0]["param_groups"][0]["fused"]
    assert fused is (None if precision == "bf16-mixed" else True)
    dtype = {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    assert saved["state_dict"]["net.head.weight"].dtype == dtype


def test_weight_averaging_saves_averaged_and_current_weights(cli: Cli, tiny: Callable[..., str]) -> None:
    callbacks = [{"type": "EMAWeightAveraging", "decay": 0.5}]
    assert cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}})).code == 0
    averaged = load_checkpoint()
    assert cli("fit", "--config", tiny(), "--name", "plain").code == 0
    plain = load_checkpoint("plain")["state_dict"]
    assert torch.equal(averaged["current_model_state"]["net.head.weight"], plain["net.head.weight"])
    assert not torch.equal(averaged["state_dict"]["net.head.weight"], plain["net.head.weight"])
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0


@pytest.mark.slow
def test_compiled_net_has_the_same_names_and_values(cli: Cli, tiny: Callable[..., str]) -> None:
    assert cli("fit", "--config", tiny(), "--model.compile", "true").code == 0
    assert cli("fit", "--config", tiny(), "--name", "plain").code == 0
    compiled, plain = load_checkpoint()["state_dict"], load_checkpoint("plain")["state_dict"]
    assert compiled.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name])


def test_channels_last_changes_only_the_memory_format(cli: Cli, tiny: Callable[..., str]) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.random_components.Convolved"}}})
    assert cli("fit", "--config", config, "--model.channels_last", "true").code == 0
    assert cli("fit", "--config", config, "--name", "plain").code == 0
    last, plain = load_checkpoint()["state_dict"], load_checkpoint("plain")["state_dict"]
    assert last.keys() == plain.keys()
    for name in plain:
        torch.testing.assert_close(last[name], plain[name])
    weight = "net.layers.2.weight"
    assert last[weight].is_contiguous(memory_format=torch.channels_last)
    assert not plain[weight].is_contiguous(memory_format=torch.channels_last)

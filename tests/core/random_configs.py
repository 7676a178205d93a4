"""Random configurations, over all optimizers and schedules of torch, for the tests of resuming."""

import random
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from project.models.base import Model

HERE, COMPONENTS = "tests.core.random_configs", "tests.core.random_components"
Tree = dict[str, Any]

OPTIMIZERS: dict[str, list[Tree]] = {
    "Adadelta": [{"lr": 1.0}],
    "Adafactor": [{"lr": 0.01}],
    "Adagrad": [{"lr": 0.05}, {"lr": 0.05, "lr_decay": 0.1}],
    "Adam": [{"lr": 0.01}, {"lr": 0.01, "amsgrad": True}],
    "AdamW": [{"lr": 0.01}, {"lr": 0.01, "weight_decay": 0.1}],
    "Adamax": [{"lr": 0.01}],
    "ASGD": [{"lr": 0.1, "t0": 3, "alpha": 0.5}],
    "LBFGS": [{"lr": 0.1, "max_iter": 2}],
    "Muon": [{"lr": 0.01}],
    "NAdam": [{"lr": 0.01}, {"lr": 0.01, "decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{"lr": 0.01}],
    "RMSprop": [{"lr": 0.01}, {"lr": 0.01, "momentum": 0.9, "centered": True}],
    "Rprop": [{"lr": 0.01}],
    "SGD": [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.1, "momentum": 0.9, "foreach": True}],
    "SparseAdam": [{"lr": 0.01}],
}
SCHEDULERS: dict[str, Tree] = {
    "LambdaLR": {"lr_lambda": f"{HERE}.halve"},
    "MultiplicativeLR": {"lr_lambda": f"{HERE}.shrink"},
    "StepLR": {"step_size": 2, "gamma": 0.7},
    "MultiStepLR": {"milestones": [1, 4]},
    "ConstantLR": {"factor": 0.3, "total_iters": 3},
    "LinearLR": {"total_iters": 4},
    "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {"total_iters": 9, "power": 0.9},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 2, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.02, "step_size_up": 3, "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.02, "total_steps": 60, "cycle_momentum": False},
    "ReduceLROnPlateau": {"monitor": "train/sum", "patience": 0, "threshold": 0.5},
    "SequentialLR": {
        "schedulers": [{"type": "LinearLR", "total_iters": 3}, {"type": "ExponentialLR", "gamma": 0.8}],
        "milestones": [3],
    },
    "ChainedScheduler": {
        "schedulers": [{"type": "ConstantLR", "total_iters": 2}, {"type": "StepLR", "step_size": 2, "gamma": 0.9}]
    },
    "WarmupCosine": {"warmup": 2},
    "Poly": {},
    "Warmup": {"length": 2, "after": {"type": "ExponentialLR", "gamma": 0.8}},
}
NETS: dict[str, Tree] = {
    "any": {"type": f"{COMPONENTS}.Dropped"},
    "images": {"type": f"{COMPONENTS}.Convolved"},
    "Muon": {"type": f"{HERE}.Matrices"},
    "SparseAdam": {"type": f"{HERE}.Embedded"},
}
# Where a run is interrupted: these hooks of callbacks.
HOOKS = (
    *("on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end", "on_validation_batch_start"),
    *("on_validation_end", "on_train_epoch_end", "on_train_epoch_start", "on_save_checkpoint"),
)


def halve(step: int) -> float:
    return 0.5**step


def shrink(step: int) -> float:
    return 1 - 0.1 / (1 + step)


class Matrices(Model):
    """Net whose parameters are matrices, as Muon takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16, bias=False), nn.ReLU(), nn.Linear(16, 10, bias=False)
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layers(image)}


class Embedded(Model):
    """Net whose only parameter has a sparse gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(10, 10, sparse=True), nn.Dropout()

    def forward(self, label: Tensor) -> dict[str, Tensor]:
        return {"logits": self.dropout(self.embedding(label))}


def random_config(seed: int) -> Tree:
    """Return a configuration, to be merged over that of a tiny run.

    Consecutive seeds go through all optimizers and all schedulers.
    """
    draw = random.Random(seed)
    optimizer = list(OPTIMIZERS)[seed % len(OPTIMIZERS)]
    scheduler = [*SCHEDULERS, None][seed % (len(SCHEDULERS) + 1)]
    has_val = draw.random() < 0.8
    validates_each_epoch = draw.random() < 0.6
    model: Tree = {
        "net": NETS.get(optimizer) or NETS[draw.choice(["any", "any", "images"])],
        "optimizer": {"type": optimizer} | draw.choice(OPTIMIZERS[optimizer]),
        "scheduler": scheduler and {"type": scheduler} | SCHEDULERS[scheduler],
        "interval": draw.choice(["step", "epoch"]),
    }
    if scheduler == "ReduceLROnPlateau":
        model["interval"] = "epoch"
        if has_val and validates_each_epoch:
            model["scheduler"]["monitor"] = draw.choice(["val/sum", "train/sum"])
    if optimizer not in ("SparseAdam", "LBFGS") and draw.random() < 0.5:
        model["clip"] = {
            "value": draw.choice([0.1, 1.0]),
            "warmup_epochs": draw.choice([0, 1]),
            "value_after": draw.choice([None, 0.05]),
            "algorithm": draw.choice(["norm", "value"]),
        }
    if optimizer not in ("SparseAdam", "LBFGS") and draw.random() < 0.3:
        model["groups"] = [{"match": "*weight", "lr": 0.005}]
        if scheduler not in ("CyclicLR", "OneCycleLR") and seed % 2:
            model["groups"].insert(0, {"match": "*[12].weight", "lr_scale": 0.5, "freeze": {"until_epoch": 1}})
    if model["net"] is NETS["images"] and optimizer != "LBFGS":
        model["channels_last"] = draw.random() < 0.5
    precisions = ["32-true"] if optimizer == "SparseAdam" else ["32-true", "bf16-true", "bf16-mixed", "64-true"]
    trainer: Tree = {
        "max_epochs": draw.choice([2, 3]),
        "limit_train_batches": draw.choice([1.0, 1.0, 3]),
        "log_every_n_steps": draw.choice([1, 1, 2, 3]) if has_val else 1,
        "precision": draw.choice(precisions),
        "accumulate_grad_batches": 1 if optimizer == "LBFGS" else draw.choice([1, 1, 2, 3]),
    }
    if has_val:
        trainer |= {"val_check_interval": draw.choice([None, None, 1, 2, 3])}
        trainer |= {} if validates_each_epoch else {"check_val_every_n_epoch": draw.choice([1, 2])}
    if draw.random() < 0.2:
        trainer |= {"max_epochs": None, "max_steps": draw.choice([3, 5, 7])}
        if scheduler in ("WarmupCosine", "Poly"):
            model["interval"] = "step"
    monitors = ["train/sum", *(["val/sum", "val/accuracy"] if has_val else [])]
    evaluates = draw.random() < 0.3
    monitor = draw.choice([None, *monitors, *(["eval/accuracy"] if evaluates else [])])
    config: Tree = {
        "model": model,
        "data": {
            "batch_size": 8,
            "num_workers": draw.choice([0, 0, 0, 1]),
            "train": {"type": draw.choice([f"{COMPONENTS}.Noisy", f"{COMPONENTS}.NoisyBatches"]), "length": 42},
            "val": {"type": f"{COMPONENTS}.Noisy", "length": 20} if has_val else None,
            "eval": {"type": f"{COMPONENTS}.Noisy", "length": 11},
        },
        "checkpoint": {
            "every_n_steps": draw.choice([1, 1, 2, 3]),
            "every_n_epochs": draw.choice([0, 1, 2]),
            "keep": draw.choice([1, 2, -1]),
            "best": draw.choice([1, 2]),
            "monitor": monitor,
            "mode": _mode(monitor),
        },
        "evaluation": {"every_n_epochs": draw.choice([1, 2]) if evaluates else 0},
        "trainer": trainer | {"callbacks": _callbacks(draw, monitors)},
    }
    if seed % 3 == 0 and not any(
        callback["type"] == "EMAWeightAveraging" for callback in config["trainer"]["callbacks"]
    ):
        model["ema"] = 0.9
    return config


def _callbacks(draw: random.Random, monitors: list[str]) -> list[Tree]:
    ema = {"type": "EMAWeightAveraging", "decay": 0.9, "update_every_n_steps": draw.choice([1, 2])}
    monitor = draw.choice(monitors[1:] or monitors)
    mode = {"monitor": monitor, "mode": _mode(monitor)}
    choices: dict[float, Callable[[], Tree]] = {
        0.31: lambda: ema | {"update_starting_at_step": draw.choice([None, 2])},
        0.3: lambda: {"type": "EarlyStopping", **mode, "min_delta": 9.0, "patience": draw.choice([1, 2])},
        0.25: lambda: {"type": "ModelCheckpoint", **mode, "dirpath": "own", "save_top_k": 2},
        0.4: lambda: {"type": "GradientMonitor"},
        0.2: lambda: {"type": "ModelSummary"},
    }
    return [build() for share, build in choices.items() if draw.random() < share]


def _mode(monitor: str | None) -> str:
    return "max" if monitor and monitor.endswith("accuracy") else "min"

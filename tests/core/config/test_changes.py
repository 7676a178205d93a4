"""Changes of the configuration are reported by config path, with the old and the new value."""

from collections.abc import Sequence
from copy import deepcopy

import pytest

from project.core.cli.arguments import parse_arguments
from project.core.config.changes import changed_by_options, config_changes
from project.core.config.configuration import build_config
from project.core.config.yaml_files import Tree, merge_all
from tests.conftest import TINY

pytestmark = pytest.mark.usefixtures("short_names")

# As a checkpoint contains it: some entries have their key as type, and defaults are written.
SAVED: Tree = {key: value for key, value in TINY.items() if key != "base"} | {
    "seed": 0,
    "visual": None,
    "model": TINY["model"]
    | {
        "net": {"type": "MLP", "in_features": 64, "num_classes": 10, "hidden": 8, "inputs": None},
        "loss": {"cross_entropy": {"label_smoothing": 0.0, "weight": 1.0, "inputs": None}},
        "scheduler": None,
        "groups": [{"match": "net.head.*", "lr": 0.1}, {"match": "net.*", "lr": None}],
    },
    "data": TINY["data"] | {"train": {"type": "Glyphs", "split": "train", "augmentation": {"random_shift": {}}}},
    "trainer": TINY["trainer"]
    | {"callbacks": [{"type": "EarlyStopping", "monitor": "val/sum"}, {"type": "Timer", "duration": None}]},
}


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        ([], []),
        (["--seed", "0", "--model.net", "mlp", "--model.net.hidden", "8", "--model.optimizer.lr", "1e-2"], []),
        (["--name", "other", "--root", "runs", "--replace", "--log_level", "DEBUG", "--timeout", "5"], []),
        (["--seed", "1"], ["seed is 1, was 0"]),
        (["--model.optimizer.weight_decay", "0.1"], ["model.optimizer.weight_decay is 0.1, was not set"]),
        # Null and what is not set are the same.
        (["--model.clip", "null"], []),
        (["--data.val", "null"], ["data.val is None, was set"]),
        (["--model.groups", "null"], ["model.groups is None, was set"]),
        (["--visual", "Row"], ["visual.type is 'Row', was not set"]),
        (["--model.scheduler", "Poly"], ["model.scheduler.type is 'Poly', was not set"]),
        # Another type removes the old arguments.
        (
            ["--model.net", "tests.core.components.Wide"],
            [
                "model.net.type is 'tests.core.components.Wide', was 'MLP'",
                "model.net.in_features is gone, was 64",
                "model.net.num_classes is gone, was 10",
                "model.net.hidden is gone, was 8",
            ],
        ),
        (
            ["--model.optimizer", "SGD", "--model.optimizer.lr", "0.01"],
            ["model.optimizer.type is 'SGD', was 'AdamW'"],
        ),
        # The same class under another name is not another type, but merging removes its arguments.
        (
            ["--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", "0.02"],
            ["model.optimizer.lr is 0.02, was 0.01"],
        ),
        # The type of an entry is its key.
        (["--model.loss.cross_entropy.type", "CrossEntropy"], []),
        (["--model.loss.cross_entropy.weight", "2"], ["model.loss.cross_entropy.weight is 2, was 1.0"]),
        (
            ["--model.loss.cross_entropy", "null", "--model.loss.own", "L1Loss"],
            [
                "model.loss.own.type is 'L1Loss', was not set",
                "model.loss.cross_entropy.label_smoothing is gone, was 0.0",
                "model.loss.cross_entropy.weight is gone, was 1.0",
            ],
        ),
        (
            ["--data.train.augmentation.random_shift", "null"],
            ["data.train.augmentation.random_shift is gone"],
        ),
        (["--data.train.augmentation", "null"], ["data.train.augmentation is None, was set"]),
        # Several datasets are merged over a single one.
        (
            ["--data.val", "{type: null, one: {type: Glyphs, split: val}}"],
            [
                "data.val.one.type is 'Glyphs', was not set",
                "data.val.one.split is 'val', was not set",
                "data.val.type is gone, was 'tests.components.Glyphs'",
                "data.val.split is gone, was 'val'",
            ],
        ),
        # Lists are replaced, and compared entry by entry.
        (
            ["--trainer.callbacks", "[Timer, {type: EarlyStopping, monitor: val/sum}]"],
            [
                "trainer.callbacks.0.type is 'Timer', was 'EarlyStopping'",
                "trainer.callbacks.1.type is 'EarlyStopping', was 'Timer'",
                "trainer.callbacks.1.monitor is 'val/sum', was not set",
                "trainer.callbacks.0.monitor is gone, was 'val/sum'",
            ],
        ),
        (
            ["--trainer.callbacks", "[LearningRateMonitor, Timer]"],
            [
                "trainer.callbacks.0.type is 'LearningRateMonitor', was 'EarlyStopping'",
                "trainer.callbacks.0.monitor is gone, was 'val/sum'",
            ],
        ),
        (
            ["--trainer.callbacks", "[Timer]"],
            [
                "trainer.callbacks.0.type is 'Timer', was 'EarlyStopping'",
                "trainer.callbacks.0.monitor is gone, was 'val/sum'",
                "trainer.callbacks.1.type is gone, was 'Timer'",
            ],
        ),
        # What an item of a list leaves out has its default.
        (["--model.groups", "[{match: net.head.*, lr: 0.1}, {match: net.*}]"], []),
        (
            ["--trainer.callbacks", "[{type: EarlyStopping, monitor: val/sum}, {type: Timer, interval: epoch}]"],
            ["trainer.callbacks.1.interval is 'epoch', was not set"],
        ),
        (["--trainer.callbacks.0.patience", "5"], ["trainer.callbacks.0.patience is 5, was not set"]),
        (
            ["--model.groups", "[{match: net.head.*, lr: 0.1}]"],
            ["model.groups.1.match is gone, was 'net.*'"],
        ),
        (
            ["--model.groups+", "[{match: loss.*}]"],
            ["model.groups.2.match is 'loss.*', was not set"],
        ),
        (
            ["--trainer.callbacks", "Timer"],
            [
                "trainer.callbacks.type is 'Timer', was not set",
                "trainer.callbacks.0.type is gone, was 'EarlyStopping'",
                "trainer.callbacks.0.monitor is gone, was 'val/sum'",
                "trainer.callbacks.1.type is gone, was 'Timer'",
            ],
        ),
        (["--model.optimizer.betas", "[0.8, 0.9]"], ["model.optimizer.betas is [0.8, 0.9], was not set"]),
        # A mapping that is a plain value is compared as a whole.
        (
            ["--model.loss.cross_entropy.inputs", "{logits: scores}"],
            ["model.loss.cross_entropy.inputs is {'logits': 'scores'}, was None"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].startswith("--") else "",
)
def test_changes_by_options(argv: Sequence[str], changes: list[str]) -> None:
    saved = deepcopy(SAVED)
    merged = merge_all([saved, *parse_arguments(["fit", *argv]).settings])
    found = changed_by_options(saved, merged, build_config(merged))
    assert list(found.values()) == changes
    assert all(text.startswith(f"{path} is ") for path, text in found.items())
    assert saved == SAVED


def test_only_settings_of_the_new_configuration_are_compared() -> None:
    old = build_config(SAVED)
    new = build_config(SAVED | {"trainer": {}, "seed": 2, "data": SAVED["data"] | {"val": None}})
    assert config_changes(old, new) == {"seed": "seed is 2, was 0", "data.val": "data.val is None, was set"}
    assert config_changes(new, new) == {}


def test_names_with_dots_and_numbers_are_compared() -> None:
    """Names of entries are the user's own."""
    loss = {"a.b": {"type": "L1Loss", "weight": 1.0}, "1": {"type": "L1Loss", "weight": 2.0}}
    saved = SAVED | {"model": SAVED["model"] | {"loss": loss}}
    merged = merge_all([saved, {"model": {"loss": {"1": {"weight": 3.0}}}}])
    assert changed_by_options(saved, saved, build_config(saved)) == {}
    changes = changed_by_options(saved, merged, build_config(merged))
    assert changes == {"model.loss.1.weight": "model.loss.1.weight is 3.0, was 2.0"}

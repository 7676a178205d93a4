"""Runs of trials: names, and options that `fit` reads as the same values."""

from typing import Any

import pytest

from project.core.cli.arguments import parse_arguments
from project.core.config.yaml_files import merge_all, parse_untyped
from project.study.sweep.definition import Definition, read_definition
from project.study.sweep.plan import Trial, check_names, grid_trials, options_of, runs_of


def names(text: str) -> list[str]:
    definition = read_definition(parse_untyped(text, "sweep.yaml"), 0)
    check_names(definition)
    return [run.name for trial in grid_trials(definition) for run in runs_of(trial, definition)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{grid: {lr: [1, 2]}}", ["0000", "0001"]),
        ("{seeds: 2}", ["0000_seed0", "0000_seed1"]),
        ("{grid: {lr: [1]}, seeds: [3, 4]}", ["0000_seed3", "0000_seed4"]),
        ("{grid: {lr: [1]}, seeds: 1, folds: 2}", ["0000_seed0_fold0", "0000_seed0_fold1"]),
        ("{grid: {o.lr: [1, 2]}, seeds: 1, name: 'lr{lr}_{o.lr}'}", ["lr1_1", "lr2_2"]),
        ("{grid: {a.lr: [1], b.lr: [2]}, name: '{a.lr}-{b.lr}-{trial}'}", ["1-2-0000"]),
        (
            "{grid: {net: [{type: MLP, a: {b: 1}}, ViT, null, [1, 2]]}, name: '{net}'}",
            ["MLP,a.b=1", "ViT", "null", "1,2"],
        ),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_a_setting_that_is_not_set_in_a_trial_has_a_name() -> None:
    text = "{space: {t: [a, b], x: {int: [1, 8], when: {t: a}}}, trials: 2, name: '{trial}_{x}'}"
    definition = read_definition(parse_untyped(text, ""), 0)
    assert next(runs_of(Trial(3, {"t": "b"}), definition)).name == "0003_none"


VALUES = """
- 1e-3
- "1e-3"
- 010
- true
- "true"
- null
- --x
- "${vars.x}"
- [1, "2", [a]]
- {type: MLP, hidden: 64, names: ["on", off], more: {1: x, y: "1e3"}}
- "a: b, c # d"
- "two\\nlines"
"""


@pytest.mark.parametrize("value", parse_untyped(VALUES, ""), ids=str)
def test_options_give_the_values_of_the_sweep(value: Any) -> None:
    """Numbers stay numbers and texts texts, also inside entries."""
    trial = Trial(0, {"data.x": value})
    words = options_of(next(runs_of(trial, Definition({"data.x": (value,)}))), Definition(), {})
    assert len(words) == 2
    given = merge_all(parse_arguments(["fit", *words]).settings)["data"]["x"]
    assert (given, types(given)) == (value, types(value))


@pytest.mark.parametrize("paths", [("net.width", "net.type"), ("net.type", "net.width"), ("net.width", "net")])
def test_options_give_all_values_in_any_order(paths: tuple[str, str]) -> None:
    """A type that a trial sets removes the arguments of the experiment's type, and none of the trial's own."""
    values = {"net": "MLP", "net.type": "MLP", "net.width": 64}
    trial = Trial(0, {f"model.{path}": values[path] for path in paths})
    words = options_of(next(runs_of(trial, Definition())), Definition(), {})
    experiment = {"model": {"net": {"type": "ResNet", "blocks": 3}}}
    given = merge_all([experiment, *parse_arguments(["fit", *words]).settings])["model"]["net"]
    assert given == {"type": "MLP", "width": "64"}


def types(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: types(item) for key, item in value.items()}
    return [types(item) for item in value] if isinstance(value, list) else type(value)


def test_options_contain_seed_monitor_and_fold() -> None:
    data = parse_untyped("{train: {type: Fold, k: 2, fold: 0}, val: {type: Fold, k: 2, fold: 0}}", "")
    definition = Definition({"lr": (0.5,)}, seeds=(4,), folds=3, monitor="val/sum", mode="max")
    run = [*runs_of(grid_trials(definition)[0], definition)][1]
    pairs = ["lr 0.5", "seed 4", "checkpoint.monitor val/sum", "checkpoint.mode max"]
    pairs += ["data.train.k 3", "data.train.fold 1", "data.val.k 3", "data.val.fold 1"]
    assert options_of(run, definition, {"data": data}) == f"--{' --'.join(pairs)}".split()

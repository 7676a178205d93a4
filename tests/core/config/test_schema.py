"""The schema accepts what the engine accepts, and refuses typical mistakes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from project.core.config.reference_texts import mark_references, shield
from project.core.config.schema import experiment_schema
from project.core.config.setting_comments import setting_comments
from project.core.config.yaml_files import parse_yaml
from tests.conftest import CONFIGS

MISTAKES = Path(__file__).parents[1] / "cli/mistakes.yaml"
# Those of the mistakes that a schema can find: of one file, without what its base contains.
FOUND = """unknown key at the top, unknown key of the model, unknown key of the data, unknown key of a loss, unknown
key of the clipping, unknown key of a parameter group, unknown key of a callback, unknown net, unknown
net with a name similar to torch's, unknown metric, unknown dataset, unknown optimizer, unknown
scheduler, unknown callback, unknown module, unknown visual, loss without a name, wrong type of a trainer
argument, mapping instead of a number, number instead of a mapping, list instead of a mapping, batch size
is zero, group that is frozen until the first epoch, decay of an average that is no fraction, constants
that are no mapping, constants in a list, visual that never draws, class weights given as the factor of a
loss, window of a throughput that is too short, text instead of a boolean or a group of settings"""


@cache
def validator() -> Draft202012Validator:
    """Return the validator of the components that are registered when it is first called."""
    return Draft202012Validator(experiment_schema())


def problems(text: str) -> list[str]:
    """Return what is wrong with a yaml, as an editor reads it, according to the schema."""
    return [error.message for error in validator().iter_errors(mark_references(parse_yaml(shield(text), "here")))]


@pytest.mark.parametrize(
    "file", sorted(CONFIGS.glob("*.yaml")) + sorted(CONFIGS.glob("presets/*.yaml")), ids=lambda file: file.stem
)
def test_accepts_the_configs_which_name_it(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert problems(text) == []
    assert (file.parent / text.partition("$schema=")[2].partition("\n")[0]).resolve() == CONFIGS / "schema.json"


ACCEPTED = """
model: {optimizer: SGD}                                       # a name alone
model: {optimizer: torch.optim.SGD}                           # a dotted path
model: {optimizer: {type: adam_w, lr: 1e-3}}                  # in any spelling
model: {optimizer: {type: my.Optimizer, anything: 1}}
model: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1}}}
model: {optimizer: {lr: "${env:LR,1e-3}"}}                    # of the base's type
model: {loss: {l: {type: my.Loss, weight: 2, x: 1}, gone: null}}
model: {metric: {MulticlassAccuracy: {num_classes: 10}, null_is_removed: null}}
model: {loss: {m: {type: MSELoss, inputs: {input: a, target: b}}}}
model: {type: my.Module, anything: 1}
model: {clip: null, ema: null, groups: [{match: "*", freeze: {until_epoch: 3}}, {match: x, freeze: yes}]}
model: {groups+: [{match: x, lr: 0.1}]}
model: {groups+: {match: x, lr: 0.1}}
model: {compile: on, channels_last: "${vars.last}"}
model: {scheduler: {type: SequentialLR, schedulers: [ConstantLR, {type: Poly, power: 2}], milestones: [5]}}
data: {val: {first: {type: my.Dataset}, second: {type: my.Dataset, x: 1}, third: null}}
data: {val: {type: null, first: my.Dataset}}
data: {val: null, train: my.Dataset, batch_size: "${vars.size}"}
data: {type: my.DataModule, x: 1}
visual: my.Visual
visual: {one: {type: my.Visual, every_n_epochs: 2}, two: my.Visual}
name: 010
name: "${vars.x}_${seed}"
progress:
skip_steps: [1, 2]
skip_steps+: 3
checkpoint: {keep: -1, monitor: null}
trainer: {precision: 16, devices: 2, callbacks: {type: EarlyStopping, monitor: val/sum}}
trainer: {callbacks+: [EarlyStopping, {class_path: my.Callback, init_args: {x: 1}}], logger: false}
trainer: {logger: [CSVLogger, {type: TensorBoardLogger}], strategy: ddp, max_time: {hours: 1}}
trainer: {strategy: {type: DDPStrategy, find_unused_parameters: true}, limit_train_batches: 0.5}
base: [a.yaml, b.yaml]
sweep: {grid: {seed: [1, 2]}}
vars: {anything: [1, {a: b}]}
"""


@pytest.mark.parametrize("text", ACCEPTED.strip().splitlines())
def test_accepts_every_form(text: str) -> None:
    assert problems(text) == []


REFUSED = """
nmae: x                                                       # misspelled
seed: -1
seed: 1.5
seed: big
log_level: LOUD
checkpoint: {keep: 0}
checkpoint: {mode: median}
checkpoint: {best: null}
progress: {train: yes}
model: {ema: 1}
model: {optimizer: {type: SGD, learning_rate: 1}}
model: {optimizer: {type: [SGD]}}
model: {optimizer: AdamV}
model: {scheduler: {type: Poly, power: -1}}
model: {scheduler: {type: Warmup, after: {type: CosineAnealingLR}}}
model: {loss: {x: {type: my.Loss, weight: -1}}}
model: {loss: {x: 3}}
model: {groups: [{match: x, freeze: {until_epochs: 3}}]}
data: {num_workers: 1.5}
data: {type: DataModule, bach_size: 3}
trainer: {max_epochs: ten}
trainer: {callbacks: [{type: EarlyStopping, patience: -1}]}
trainer: {callbacks+: [EarlyStoping]}
base: 3
vars: 3
"""


@pytest.mark.parametrize("text", REFUSED.strip().splitlines())
def test_refuses_typical_mistakes(text: str) -> None:
    assert problems(text) != []


def test_arguments_of_components_are_checked(short_names: None) -> None:
    """Also of a component that a key names, and in nested entries."""
    check = Draft202012Validator(experiment_schema()).is_valid
    assert check({"model": {"net": {"type": "MLP", "hidden": 3, "inputs": {"image": "x"}, "init": {"hidden": 4}}}})
    assert not check({"model": {"net": {"type": "m_lp", "hiden": 3}}})
    assert not check({"model": {"net": {"type": "MLP", "hidden": "big"}}})
    assert check({"model": {"net": {"hiden": 3}}})  # of an unknown type
    assert check({"model": {"loss": {"cross_entropy": {"label_smoothing": 0.1, "weight": 2}}}})
    assert not check({"model": {"loss": {"CrossEntropy": {"smoothing": 0.1}}}})
    assert check({"model": {"loss": {"cross_entropy": {"type": "my.Loss", "smoothing": 0.1}}}})
    shifted = {"type": "Glyphs", "split": "train", "augmentation": {"random_shift": {"pixels": 1}}}
    assert check({"data": {"train": shifted}})
    for pixels in ({"pixels": 1.5}, {"pixel": 1}):
        assert not check({"data": {"train": shifted | {"augmentation": {"random_shift": pixels}}}})
    assert not check({"data": {"train": {"type": "Glyphs", "split": "trian"}}})
    assert check(
        {"data": {"val": {"one": {"type": "Glyphs", "split": "val"}, "split": "val"}}}
    )  # a part of a single one
    assert not check({"data": {"val": {"one": {"type": "Glyphs", "spilt": "val"}}}})


def test_finds_the_mistakes_that_it_can(short_names: None) -> None:
    """Others need the base, or what no schema can say."""
    cases = {case["mistake"]: case["yaml"] for case in yaml.safe_load(MISTAKES.read_text()) if "yaml" in case}
    found = {" ".join(name.split()) for name in FOUND.split(",")}
    check = Draft202012Validator(experiment_schema()).is_valid
    assert {name for name in found if check(cases[name])} == set()


def test_every_setting_is_described_with_its_default() -> None:
    """The comments of configs/default.yaml are the descriptions."""
    schema: dict[str, Any] = experiment_schema()
    batch_size = schema["properties"]["data"]["then"]["properties"]["batch_size"]
    assert batch_size["description"] == setting_comments()["data.batch_size"]
    assert (batch_size["default"], batch_size["minimum"]) == (1, 1)
    for key in ("model", "data", "trainer", "checkpoint"):
        part = schema["properties"][key]
        properties = part.get("then", part)["properties"]
        missing = [name for name, item in properties.items() if name != "type" and not item.get("description")]
        assert (key, missing) == (key, [])
    json.dumps(schema, allow_nan=False)


@pytest.mark.slow
def test_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(experiment_schema())

"""A file model.onnx in the place of a checkpoint: validate, test and predict give the checkpoint's results."""

import base64
import csv
import io
import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

import project
from project.core.cli.main import main
from project.core.data.raw_inputs import raw_inputs
from project.core.errors import ConfigError
from project.core.export import exported_model
from project.core.export.exported_model import load_exported, pack_state, results_directory
from project.core.export.files import write_onnx
from project.core.export.graph import Graph
from project.core.export.tracing import trace
from project.core.run.checkpoint_files import load_checkpoint
from project.deploy.model_card import METADATA_KEY, ModelCard, read_card
from project.losses.base import Loss
from project.models.base import Model
from project.modules.base import SupervisedModule
from tests.conftest import TINY, Cli, slow_except
from tests.core.components import LogsVectors
from tests.core.fitted_components import HERE

OWN = "tests.core.export.test_exported_model"
BATCH = {"image": torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), "label": torch.tensor([1, 2, 3])}


class Scores(Model):
    """Net that returns a tensor without a name; its argument is no name of the dataset."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, picture: Tensor) -> Tensor:
        scores: Tensor = self.layer(picture.flatten(1))
        return scores

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the most likely class, `label` (B,), and its `probability` (B,)."""
        probability, label = logits.softmax(1).max(1)
        return {"label": label, "probability": probability}


class Balance(Loss):
    """Cross entropy with a value per sample and weights that are fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(0))

    def fit_to(self, dataset: Any) -> None:
        """Set the weights."""
        self.weight = torch.bincount(torch.stack([sample["label"] for sample in dataset]), minlength=10) / 4

    def per_sample(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of each sample, `(B,)`."""
        return nn.functional.cross_entropy(logits, label, self.weight, reduction="none")

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        return self.per_sample(logits, label).mean()


# With all that a module has around its net: transforms, fitted losses and metrics, an average of the weights.
RICH: dict[str, Any] = TINY | {
    "model": {
        "prepare": {"standardize": {"type": f"{HERE}.Standardize"}},
        "net": {"type": f"{OWN}.Scores", "inputs": {"picture": "image"}, "output": "logits"},
        "loss": {
            "balance": {"type": f"{OWN}.Balance"},
            "renamed": {"type": f"{HERE}.Renamed", "weight": 0, "inputs": {"target": "label"}},
        },
        "metric": {
            "counted": {"type": f"{HERE}.Counted"},
            "accuracy": {"type": "tests.components.Accuracy", "num_classes": 10},
        },
        "optimizer": {"type": "AdamW", "lr": 0.01},
        "ema": 0.9,
        "groups": [{"match": "net.layer.bias", "lr": 0.1}],
        "channels_last": True,
    },
    "data": {
        "batch_size": 6,
        "train": {"type": "tests.core.random_components.Noisy", "length": 42},
        "val": {"type": "tests.core.random_components.Noisy", "length": 20},
        "eval": {
            "first": {"type": "tests.core.random_components.Noisy", "length": 11},
            "second": {"type": "tests.core.components.NamedSamples", "length": 7},
        },
        "predict": {"type": "tests.core.random_components.Noisy", "length": 13},
    },
}


def export(run: Path, target: Path) -> Path:
    """Write the net of a run to a file."""
    checkpoint = run / "checkpoints/best.ckpt"
    module = project.load(checkpoint, trust=True)
    graph = Graph(module, BATCH)
    inputs = raw_inputs(None, BATCH, graph.inputs)
    program, shapes = trace(graph, BATCH, inputs)
    card = ModelCard(
        inputs,
        shapes,
        graph.outputs,
        graph.answers,
        config=load_checkpoint(checkpoint).header.config,
        checkpoint={"file": "best.ckpt", "sha256": "0" * 64},
        state=pack_state(module),
    )
    target.parent.mkdir()
    write_onnx(program, graph, card, target)
    return target


def train_and_export(tree: dict[str, Any], directory: Path) -> Path:
    """Return the directory of a run whose net was exported to export/model.onnx."""
    config, run = directory / "config.yaml", directory / "experiments/tiny"
    config.write_text(yaml.safe_dump(tree | {"root": str(directory / "experiments")}))
    assert main(["fit", "--config", str(config)]) == 0
    export(run, run / "export/model.onnx")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of RICH."""
    return train_and_export(RICH, tmp_path_factory.mktemp("exported"))


@pytest.fixture
def model(run: Path) -> Path:
    """Return the exported model."""
    return run / "export/model.onnx"


def change_card(model: Path, target: Path, **values: Any) -> Path:
    """Write a model with another card."""
    import onnx

    content = onnx.load(str(model))
    (entry,) = (entry for entry in content.metadata_props if entry.key == METADATA_KEY)
    entry.value = replace(read_card(entry.value), **values).to_text()
    onnx.save(content, str(target))
    return target


def results(cli: Cli, path: Path, stage: str, target: str, *options: str) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the metrics of a stage, and its tables by path."""
    ran = cli(stage, "--ckpt_path", path, "--results_dir", target, *options)
    assert ran.code == 0, ran.err
    metrics, directory = Path(target) / "metrics.json", Path(target)
    tables = {
        str(file.relative_to(directory)): list(csv.reader(file.open())) for file in directory.rglob("samples.csv")
    }
    return json.loads(metrics.read_text()) if metrics.exists() else {}, tables


def assert_equal_results(one: tuple[dict[str, float], dict[str, Any]], other: Any) -> None:
    """Check that two results have the same names, and values that differ only by rounding."""
    assert other[0] == pytest.approx(one[0], rel=1e-6, abs=1e-6)
    assert {name: table[0] for name, table in other[1].items()} == {name: table[0] for name, table in one[1].items()}
    for name, table in one[1].items():
        for row, same in zip(table[1:], other[1][name][1:], strict=True):
            for value, expected in zip(same, row, strict=True):
                is_equal = value == expected or math.isclose(float(value), float(expected), rel_tol=1e-5, abs_tol=1e-5)
                assert is_equal, (name, row, same)


@pytest.mark.parametrize("stage", slow_except(["validate", "test", "predict"], "test", "predict"))
def test_results_are_those_of_the_checkpoint(stage: str, cli: Cli, run: Path, model: Path) -> None:
    """Losses and metrics that are fitted, columns of samples, several sets, small last batches."""
    expected = results(cli, run, stage, "checkpoint")
    found = results(cli, model, stage, "exported")
    assert_equal_results(expected, found)
    assert bool(found[0]) == (stage != "predict")
    assert sorted(found[1]) == (["first/samples.csv", "second/samples.csv"] if stage == "test" else ["samples.csv"])
    if stage == "test":
        assert found[0]["first/counted"] == 42
        assert [len(table) for table in found[1].values()] == [12, 8]
        columns = "index prediction target prediction.probability balance accuracy"
        assert found[1]["first/samples.csv"][0] == columns.split()


class Mirrored(SupervisedModule):
    """Module that evaluates the average of a picture and its mirror image."""

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        mirrored = super().forward(batch | {"image": batch["image"].flip(-1)})
        return {"logits": (super().forward(batch)["logits"] + mirrored["logits"]) / 2}


OTHER_MODELS: dict[str, Any] = {
    "net without predict, whose outputs are pictures and a scalar": {
        "net": {"type": "tests.core.components.Wide"},
        "loss": {"cross_entropy": {"type": "tests.components.CrossEntropy"}},
    },
    "module with a forward of its own": {"type": f"{OWN}.Mirrored"},
}


@pytest.mark.slow  # each trains and exports a net of its own
@pytest.mark.parametrize("stage", ["test", "predict"])
@pytest.mark.parametrize("model", OTHER_MODELS.values(), ids=list(OTHER_MODELS))
def test_results_of_other_modules_are_those_of_the_checkpoint(
    model: dict[str, Any], stage: str, cli: Cli, tmp_path: Path
) -> None:
    run = train_and_export(RICH | {"model": RICH["model"] | {"groups": []} | model}, tmp_path)
    expected = results(cli, run, stage, "checkpoint")
    assert_equal_results(expected, results(cli, run / "export/model.onnx", stage, "exported"))
    files = [
        sorted(path.relative_to(name) for path in Path(name).rglob("*.png")) for name in ("checkpoint", "exported")
    ]
    assert files[0] == files[1]
    assert bool(files[0]) == (stage == "predict" and "net" in model)


def test_prediction_on_files_is_that_of_the_checkpoint(cli: Cli, run: Path, model: Path, tmp_path: Path) -> None:
    """The card says what the net takes, and the header of the checkpoint says the same."""
    np.savez(tmp_path / "images.npz", image=BATCH["image"].numpy())
    for path, target in ((run, "checkpoint"), (model, "exported")):
        ran = cli("predict", "--ckpt_path", path, "--files", "images.npz", "--results_dir", target, "--trust")
        assert ran.code == 0, ran.err
    expected, found = ((tmp_path / target / "samples.csv").read_text() for target in ("checkpoint", "exported"))
    assert [row["name"] for row in csv.DictReader(found.splitlines())] == ["0", "1", "2"]
    for one, other in zip(csv.DictReader(expected.splitlines()), csv.DictReader(found.splitlines()), strict=True):
        assert {key: float(value) for key, value in one.items()} == pytest.approx(
            {key: float(value) for key, value in other.items()}, abs=1e-6
        )


@pytest.mark.parametrize("precision", slow_except(["bf16-true", "16-true", "bf16-mixed", "64-true"], "bf16-true"))
def test_precision_and_batch_size_change_nothing(precision: str, cli: Cli, run: Path, model: Path) -> None:
    """The batch is not rounded before it comes to the graph, and the config of the results says so."""
    options = ["--trainer.precision", precision, "--data.batch_size", "4"]
    assert_equal_results(results(cli, run, "test", "checkpoint"), results(cli, model, "test", "exported", *options))
    config = yaml.safe_load(Path("exported/config.yaml").read_text())
    assert config["trainer"]["precision"] == ("64-true" if precision == "64-true" else "32-true")


def test_half_precision_of_the_batch_is_converted_for_the_graph(model: Path, run: Path) -> None:
    """A batch that was rounded, such as by a plugin of the trainer, gives float32."""
    module = project.load(run, trust=True)
    expected = module(BATCH | {"image": BATCH["image"].bfloat16().float()})["logits"]
    load_exported(model).load_weights(module)
    found = module(BATCH | {"image": BATCH["image"].bfloat16()})["logits"]
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_outputs_are_on_the_device_of_the_module(model: Path, run: Path) -> None:
    """The file itself runs on the CPU."""
    module = project.load(run, trust=True)
    load_exported(model).load_weights(module)
    output = module.to("meta")(BATCH)
    assert isinstance(module, SupervisedModule)
    assert module.call_predict is not None
    tensors = [*output.values(), *module.call_predict({}, output).values()]
    assert [value.device.type for value in tensors] == ["meta"] * 3


def test_default_results_are_beside_the_file(cli: Cli, run: Path, model: Path, tmp_path: Path) -> None:
    """The run that the file was exported from is not touched; the config names it."""
    shutil.copy(run / "config.yaml", tmp_path)
    file = tmp_path / "export/model.onnx"
    file.parent.mkdir()
    shutil.copy(model, file)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    ran = cli("test", "--ckpt_path", file)
    assert ran.code == 0, ran.err
    results = tmp_path / "export/eval/test"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.relative_to(results).parts[0] for path in after.keys() - before.keys()} == {
        *("config.yaml", "metrics.json", "first", "second")
    }
    config = yaml.safe_load((results / "config.yaml").read_text())
    assert (config["root"], config["name"]) == (str(tmp_path.parent), tmp_path.name)


@pytest.mark.parametrize(
    ("file", "directory"),
    [
        ("run/export/model.onnx", "run/export/eval/test"),
        ("elsewhere/model.onnx", "elsewhere/eval/test"),
        ("run/model.onnx", "run/eval/model/test"),
        ("run/checkpoints/model.onnx", "run/checkpoints/eval/model/test"),
        ("copied/model.onnx", "copied/eval/model/test"),
    ],
)
def test_default_results_are_not_those_of_a_checkpoint(file: str, directory: str, run: Path, tmp_path: Path) -> None:
    """The results of a checkpoint are in eval/test of its run, or beside it if it was copied."""
    for name in ("run/checkpoints", "copied"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "best.ckpt").touch()
    shutil.copy(run / "config.yaml", tmp_path / "run")
    assert results_directory(tmp_path / file, "test") == tmp_path / directory


class CallsNet(SupervisedModule):
    """Module that evaluates its net without its own `forward`."""

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return {"output": {"logits": self.net(batch["image"])}}


class Doubles(SupervisedModule):
    """Module that predicts from something else than the output of its net."""

    def _predict(self, output: dict[str, Tensor]) -> dict[str, Tensor]:
        return super()._predict({"logits": 2 * output["logits"]})


@pytest.mark.parametrize("cls", [CallsNet, Doubles])
def test_module_that_uses_the_net_in_another_way_is_refused(cls: type, cli: Cli, model: Path, tmp_path: Path) -> None:
    """Its net has not the trained weights, and would give wrong results silently."""
    tree = yaml.safe_load(load_exported(model).header.config)
    tree["model"]["type"] = f"{OWN}.{cls.__name__}"
    other = change_card(model, tmp_path / "model.onnx", config=yaml.safe_dump(tree))
    ran = cli("test", "--ckpt_path", other)
    assert ran.code == 2
    assert ran.err.splitlines()[-1] == (
        f"error: {cls.__name__} calls its net in a way that {other} does not contain: evaluate the checkpoint"
    )
    assert sorted(tmp_path.iterdir()) == [other]


def test_module_of_ones_own_is_refused(model: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_exported(model).load_weights(LogsVectors())
    assert str(raised.value) == (
        f"{model} can be evaluated only in a SupervisedModule, and model is a LogsVectors: use the checkpoint"
    )


@pytest.mark.parametrize(
    ("option", "value", "path"),
    [
        ("model.net", "tests.core.components.Wide", "model.net.type"),
        ("model.net.output", "scores", "model.net.output"),
        ("model.prepare.standardize.mean", "3", "model.prepare.standardize.mean"),
        ("config", "own.yaml", "model.type"),
    ],
)
def test_options_cannot_change_what_the_file_contains(
    option: str, value: str, path: str, cli: Cli, model: Path
) -> None:
    own = RICH | {"model": RICH["model"] | {"type": f"{OWN}.CallsNet"}}
    Path("own.yaml").write_text(yaml.safe_dump(own))
    ran = cli("test", "--ckpt_path", model, f"--{option}", value)
    assert ran.code == 2
    assert ran.err == f"error: {path} cannot be changed: {model} contains the net; change it with the checkpoint\n"


def test_batch_without_an_input_is_a_mistake(model: Path, run: Path) -> None:
    module = project.load(run, trust=True)
    load_exported(model).load_weights(module)
    with pytest.raises(ConfigError) as raised:
        module({"imgae": BATCH["image"], "label": BATCH["label"]})
    assert str(raised.value) == (
        f"{model} needs 'image', which the batch does not contain; did you mean 'imgae'?\nbatch: imgae, label"
    )
    with pytest.raises(ConfigError, match=r"model.onnx does not take image \(3, 1, 4, 4\) float32: "):
        module({"image": torch.zeros(3, 1, 4, 4)})


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_exported_model_is_no_checkpoint_for_load(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"{name} is an exported model: give the checkpoint or run"):
        project.load(tmp_path / name)


def test_file_that_cannot_be_used_is_a_mistake(
    cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = change_card(model, tmp_path / "damaged.onnx", state="bm8=")
    for name in ("text.onnx", "text.ONNX"):
        (tmp_path / name).write_text("hello")
    for file, message in {
        damaged: f"{damaged} cannot be used: the state of its losses and metrics is damaged",
        tmp_path / "text.onnx": f"{tmp_path / 'text.onnx'} is damaged, or not an ONNX file: ",
        tmp_path / "text.ONNX": f"{tmp_path / 'text.ONNX'} is damaged, or not an ONNX file: ",
        tmp_path / "nothing.onnx": f"checkpoint {tmp_path / 'nothing.onnx'} does not exist",
    }.items():
        ran = cli("test", "--ckpt_path", file)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"error: {message}")
        assert len(ran.err.splitlines()) == 1
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    ran = cli("test", "--ckpt_path", model)
    assert (ran.code, ran.err) == (2, f"error: {model} needs the package onnxruntime: pip install onnxruntime\n")


@pytest.mark.parametrize("state", [{"losses.x": 3}, {"losses.x": {}}, {1: torch.zeros(1)}, [1], torch.zeros(2)])
def test_state_that_is_none_is_refused(state: Any, model: Path, tmp_path: Path) -> None:
    """Damaged files and those of a stranger may contain any plain data."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    other = change_card(model, tmp_path / "model.onnx", state=base64.b64encode(buffer.getvalue()).decode())
    with pytest.raises(ConfigError, match="cannot be used: the state of its losses and metrics is damaged"):
        load_exported(other)


def test_configuration_of_a_stranger_runs_no_code(cli: Cli, model: Path, tmp_path: Path) -> None:
    """It may name what one in a checkpoint may name."""
    tree = yaml.safe_load(load_exported(model).header.config)
    tree["data"]["eval"] = {"type": "subprocess.Popen", "args": ["touch", str(tmp_path / "marker")]}
    other = change_card(model, tmp_path / "model.onnx", config=yaml.safe_dump(tree))
    ran = cli("test", "--ckpt_path", other)
    assert ran.code == 2
    assert "subprocess.Popen" in ran.err
    assert sorted(tmp_path.iterdir()) == [other]


def test_losses_without_their_state_are_refused(
    model: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large a state, such as that of a loss with a net of its own, is not in the file."""
    module = project.load(run, trust=True)
    monkeypatch.setattr(exported_model, "_MAX_STATE", 10)
    other = change_card(model, tmp_path / "model.onnx", state=pack_state(module))
    with pytest.raises(ConfigError) as raised:
        load_exported(other).load_weights(module)
    assert str(raised.value) == (
        f"model.loss.balance has weights that {other} does not contain: evaluate the checkpoint"
    )


def test_module_without_losses_that_have_tensors_has_no_state() -> None:
    module = nn.ModuleDict({"losses": nn.ModuleDict({"l1": nn.L1Loss()}), "net": nn.Linear(1, 1)})
    assert pack_state(module) == ""

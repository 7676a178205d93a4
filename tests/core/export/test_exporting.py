"""`export` writes model.onnx only if it computes what the checkpoint computes, and leaves the rest of the run alone."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from torch import Tensor, nn

import project
from project.core.cli import stage_building
from project.core.cli.main import main
from project.core.errors import ConfigError
from project.core.export import exporting, files, graph, measuring
from project.core.export.options import parse_formats
from project.core.export.verification import Comparison, open_exported
from project.datasets.base import Dataset
from project.deploy.inputs import Picture
from project.deploy.predictor import Predictor
from project.models.base import Model
from project.modules.base import BaseModule, SupervisedModule
from tests.conftest import TINY, Cli

OWN = "tests.core.export.test_exporting"


class AnySize(Dataset):
    """Random pictures whose size is free, of ten classes."""

    raw = {"image": Picture(channels=1)}  # noqa: RUF012
    classes = [f"class {i}" for i in range(10)]  # noqa: RUF012

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"image": torch.rand(1, 8, 8), "label": torch.tensor(index % 10)}

    def __len__(self) -> int:
        return 9


class Convolution(Model):
    """Net that takes pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 10, 3, padding=1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(image).mean((2, 3))}

    def predict(self, logits: Tensor) -> dict[str, Tensor]:
        """Return the most likely class, `label` (B,)."""
        return {"label": logits.argmax(1)}


class Square(Convolution):
    """Net that takes only squares, which its graph does not say."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if not torch.compiler.is_exporting() and image.shape[-1] != image.shape[-2]:
            raise ValueError("no square")
        return super().forward(image)


class Flips(Convolution):
    """Net that flips high pictures; a trace contains one branch."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return super().forward(-image if image.shape[2] > image.shape[3] else image)


class Selecting(Convolution):
    """Net with an output that has more rows than there are samples."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        output = super().forward(image)
        return output | {"selected": image[image > 0.5]}


class Mixed(Convolution):
    """Net that computes with a dtype that onnxruntime lacks on CPUs."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 10)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return {"logits": self.head(image.mean((2, 3))).float()}


class WithNet(BaseModule):
    """Module of one's own with a net, which returns a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Halved()
        self.layer = nn.Linear(64, 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layer(batch["image"].flatten(1)).mean()
        return loss


class Halved(nn.Module):
    """Net that returns half of its input."""

    def forward(self, image: Tensor) -> Tensor:
        return image / 2


def train(tree: dict[str, Any], directory: Path) -> Path:
    """Return the directory of a run."""
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump(tree | {"root": str(directory / "experiments")}))
    assert main(["fit", "--config", str(config)]) == 0
    return directory / "experiments/tiny"


def snapshot(directory: Path) -> dict[str, tuple[int, str]]:
    """Return time and checksum of each file outside export/."""
    files = [path for path in directory.rglob("*") if path.is_file() and "export" not in path.parts]
    return {str(path): (path.stat().st_mtime_ns, hashlib.md5(path.read_bytes()).hexdigest()) for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a run of which model.onnx and model.pt2 were exported; a test must not change it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "_SECONDS", 0.0)
        directory = train(TINY, tmp_path_factory.mktemp("exported"))
        before = snapshot(directory)
        assert main(["export", "--ckpt_path", str(directory), "--formats", "onnx,pt2", "--trust"]) == 0
    assert snapshot(directory) == before
    return directory


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure each speed once."""
    monkeypatch.setattr(measuring, "_SECONDS", 0.0)


def read_report(run: Path) -> dict[str, Any]:
    """Return export_report.json."""
    report: dict[str, Any] = json.loads((run / "export/export_report.json").read_text())
    return report


def test_report_says_what_was_written_and_how_far_it_is_from_the_checkpoint(run: Path, cli: Cli) -> None:
    report = read_report(run)
    assert sorted(path.name for path in (run / "export").iterdir()) == ["export_report.json", "model.onnx", "model.pt2"]
    assert (report["verified"], report["mistakes"], report["samples"], report["largest_picture"]) == (
        True,
        [],
        261,
        None,
    )
    assert cli("test", "--ckpt_path", run, "--results_dir", "here").code == 0
    metrics = json.loads(Path("here/metrics.json").read_text())
    assert report["checkpoint"]["metrics"] == metrics
    assert list(report["files"]) == ["model.onnx", "model.pt2"]
    for name, entry in report["files"].items():
        content = (run / "export" / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert entry["metrics"] == pytest.approx(metrics, rel=1e-5)
        assert list(entry["largest_difference"]) == ["logits", "label", "probability"]
        assert max(entry["largest_difference"].values()) < 1e-5
        assert all(entry["milliseconds"][size] > 0 for size in ("1", "32"))
    assert report["opset"] == max(each.version for each in onnx.load(run / "export/model.onnx").opset_import)


def test_card_says_where_the_model_comes_from(run: Path) -> None:
    card, best = Predictor(run / "export/model.onnx").card, run / "checkpoints/best.ckpt"
    assert card.checkpoint == {"file": "best.ckpt", "sha256": hashlib.sha256(best.read_bytes()).hexdigest()}
    assert card.config == (run / "config.yaml").read_text()
    assert card.versions["torch"] == version("torch")
    assert {"torch", "onnx", "onnxruntime", "numpy"} <= card.versions.keys()
    assert card.classes == {}


def add_to(path: Path, amount: float, row: int = 0) -> None:
    """Move the last bias by an amount."""
    model = onnx.load(path)
    (bias,) = (each for each in model.graph.initializer if list(each.dims) == [10])
    values = onnx.numpy_helper.to_array(bias).copy()
    values[row] += np.float32(amount)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(model, path)


def next_class(path: Path) -> None:
    """Add 1 to the answer `label`."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "label" else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "one"))
    model.graph.node.append(onnx.helper.make_node("Add", ["plain", "one"], ["label"]))
    onnx.save(model, path)


def swap_names(path: Path) -> None:
    """Swap the names of two outputs."""
    model, swapped = onnx.load(path), {"label": "probability", "probability": "label"}
    for node in model.graph.node:
        node.input[:] = [swapped.get(name, name) for name in node.input]
        node.output[:] = [swapped.get(name, name) for name in node.output]
    for output in model.graph.output:
        output.name = swapped.get(output.name, output.name)
    onnx.save(model, path)


@pytest.fixture
def export_changed(
    run: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[Path], None]], Any]:
    """Return a function that exports a copy of the run, whose model.onnx is changed before the proof."""

    def export(change: Callable[[Path], None], *options: str) -> Any:
        def write(_: object, __: object, ___: object, path: Path) -> None:
            shutil.copy(run / "export/model.onnx", path)  # faster than to write it again
            change(path)

        monkeypatch.setattr(exporting, "write_onnx", write)
        return cli("export", "--ckpt_path", run, "--export_dir", tmp_path / "out", *options)

    return export


def test_file_that_differs_is_not_given_its_name(
    export_changed: Callable[[Callable[[Path], None]], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bias moved by 1e-3 is caught. An older model.onnx and its report stay as they are. Speeds are of evaluation."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.onnx").write_text("older")
    (out / "export_report.json").write_text("of the older one")
    ran = export_changed(lambda path: add_to(path, 1e-3))
    assert ran.code == 1
    lines = [line for line in ran.err.splitlines() if "INFO" not in line]
    message = lines[0].partition(" ERROR   ")[2]
    assert message.startswith(
        "the exported model computes something else than the checkpoint: model.onnx: logits differs by 0.001 "
        "(allowed: 0.0001) at sample "
    )
    assert lines[1:] == [
        f"It stays under the name model.unverified, and {out / 'export_report.unverified.json'} lists all differences"
    ]
    names = ["export_report.json", "export_report.unverified.json", "model.onnx", "model.unverified.onnx"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert (out / "model.onnx").read_text() == "older"
    assert (out / "export_report.json").read_text() == "of the older one"
    report = json.loads((out / "export_report.unverified.json").read_text())
    assert not report["verified"]
    assert report["files"]["model.unverified.onnx"]["largest_difference"]["logits"] == pytest.approx(1e-3, rel=1e-2)

    def measure(runs: Any, inputs: dict[str, Tensor]) -> dict[str, dict[str, float]]:
        assert not any(part.training for part in runs["checkpoint"].__self__.wired.modules())
        return measuring.measure_speed(runs, inputs)

    monkeypatch.setattr(exporting, "measure_speed", measure)
    ran = export_changed(lambda path: None)
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == ["export_report.json", "model.onnx"]


def need_samples(path: Path, count: int) -> None:
    """Make the number of samples a constant."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = ["plain" if name == "logits" else name for name in node.output]
    shape = onnx.numpy_helper.from_array(np.array([count, 10]), "shape")
    model.graph.initializer.append(shape)
    model.graph.node.append(onnx.helper.make_node("Reshape", ["plain", "shape"], ["logits"]))
    onnx.save(model, path)


CHANGES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "class": (next_class, ["model.onnx: label differs by 1 (allowed: 0) at sample 0"]),
    "names": (
        swap_names,
        ["label is (64,) float32 in place of (64,) int64 in the batch of sample 0", "probability is (64,) int64"],
    ),
    "metrics": (
        lambda path: add_to(path, 1.0),
        ["logits differs by 1 ", "probability differs", "cross_entropy is", "sum is"],
    ),
    "batch": (
        lambda path: need_samples(path, 64),
        ["model.onnx does not run in a batch of one sample: model.unverified.onnx does not take image (1, "],
    ),
    "NaN": (
        lambda path: add_to(path, float("nan")),
        ["logits differs by inf ", "cross_entropy is nan, but that of the"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_all_that_differs_is_found(
    name: str, export_changed: Callable[[Callable[[Path], None]], Any], tmp_path: Path
) -> None:
    change, mistakes = CHANGES[name]
    assert export_changed(change).code == 1
    found = json.loads((tmp_path / "out/export_report.unverified.json").read_text())["mistakes"]
    assert all(any(mistake in line for line in found) for mistake in mistakes), found


@pytest.mark.slow
def test_size_of_pictures_is_proved_to_be_free_and_the_largest_is_measured(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that `collate` emptied, several named sets, and a predict set of which the names of classes are known."""
    monkeypatch.setattr(measuring, "_PICTURE_SECONDS", 0)
    pictures = {"type": f"{OWN}.AnySize"}
    resampled = {"type": "tests.core.components.Resampled", "rows": [0, 0, 1], "length": 6}
    data = {"batch_size": 2, "train": pictures, "val": None, "eval": {"one": pictures, "two": resampled}}
    run = train(TINY | {"data": data, "model": TINY["model"] | {"net": {"type": f"{OWN}.Convolution"}}}, tmp_path)
    sizes: list[tuple[int, ...]] = []
    compute = Comparison.compute

    def record(self: Comparison, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        sizes.append(tuple(inputs["image"].shape))
        return compute(self, inputs)

    monkeypatch.setattr(Comparison, "compute", record)
    ran = cli("export", "--ckpt_path", run)
    assert ran.code == 0, ran.err
    assert sizes[:4] == [(1, 1, 8, 8), (2, 1, 9, 10), (2, 1, 13, 14), (2, 1, 10, 9)]
    report, card = read_report(run), Predictor(run / "export/model.onnx").card
    assert (report["largest_picture"], card.largest_picture, report["samples"]) == (64, 64, 11)
    assert card.classes == {"label": AnySize.classes}
    content = (run / "export/model.onnx").read_bytes()  # with the measured size in its card
    assert report["files"]["model.onnx"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert cli("test", "--ckpt_path", run, "--results_dir", "here").code == 0
    assert report["checkpoint"]["metrics"] == json.loads(Path("here/metrics.json").read_text())
    assert "two/accuracy" in report["files"]["model.onnx"]["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "mistake"),
    [
        ("Square", "the checkpoint does not run with image (2, 1, 9, 10), {free}, but the files do: no square"),
        ("Flips", "model.onnx: logits differs by {number} (allowed: {number}) with image (2, 1, 10, 9), {free}"),
    ],
)
def test_sizes_that_only_the_checkpoint_tells_apart(
    net: str, mistake: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A net may depend on sizes in a way that is not exported; without eval set, on the val set."""
    monkeypatch.setattr(exporting, "measure_largest_picture", lambda *_: None)
    pictures = {"type": f"{OWN}.AnySize"}
    data = {"batch_size": 3, "train": pictures, "val": pictures}
    run = train(TINY | {"data": data, "model": TINY["model"] | {"net": {"type": f"{OWN}.{net}"}}}, tmp_path)
    ran = cli("export", "--ckpt_path", run)
    assert ran.code == 1
    pattern = re.escape(mistake.format(free="a size that `raw` leaves free", number="NUMBER")).replace(
        "NUMBER", r"[\d.e-]+"
    )
    assert re.search(pattern, ran.err), ran.err
    assert not (run / "export/model.onnx").exists()


@pytest.mark.slow
def test_run_without_eval_set_is_compared_on_val(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "measure_largest_picture", lambda *_: None)
    pictures = {"type": f"{OWN}.AnySize"}
    data = {"batch_size": 4, "train": pictures, "val": pictures}
    run = train(TINY | {"data": data, "model": TINY["model"] | {"net": {"type": f"{OWN}.Convolution"}}}, tmp_path)
    ran = cli("export", "--ckpt_path", run)
    assert ran.code == 0, ran.err
    assert (read_report(run)["samples"], read_report(run)["checkpoint"]["metrics"]) == (9, {})


@pytest.mark.slow
@pytest.mark.parametrize(("net", "code"), [("Selecting", 0), ("Mixed", 2)])
def test_net_of_which_onnxruntime_takes_only_some(
    net: str, code: int, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are no samples are compared too; an operation that onnxruntime lacks is named without a traceback."""
    monkeypatch.setattr(exporting, "measure_largest_picture", lambda *_: None)
    pictures = {"type": f"{OWN}.AnySize"}
    data = {"batch_size": 3, "train": pictures, "eval": pictures}
    run = train(TINY | {"data": data, "model": TINY["model"] | {"net": {"type": f"{OWN}.{net}"}}}, tmp_path)
    ran = cli("export", "--ckpt_path", run)
    assert (ran.code, (run / "export/model.onnx").exists()) == (code, code == 0)
    message = "error: onnxruntime cannot run the exported net: [ONNXRuntimeError] : 9 : NOT_IMPLEMENTED"
    assert (message in ran.err) == (code == 2)


@pytest.mark.slow
def test_net_of_a_module_of_ones_own_is_exported(cli: Cli, tmp_path: Path) -> None:
    """Its outputs are compared; without an eval set, on the predict set."""
    own = {"type": f"{OWN}.WithNet"}
    data = {
        "batch_size": 4,
        "train": {"type": "tests.core.components.IndexStream"},
        "predict": {"type": f"{OWN}.AnySize"},
    }
    tree = {key: value for key, value in TINY.items() if key not in ("model", "data")} | {"model": own, "data": data}
    run = train(tree, tmp_path)
    ran = cli("export", "--ckpt_path", run, "--formats", "pt2")
    assert ran.code == 0, ran.err
    report = read_report(run)
    assert (report["samples"], report["checkpoint"]["metrics"], report["opset"]) == (9, {}, None)
    assert report["files"]["model.pt2"]["largest_difference"] == {"output": 0.0}
    picture = torch.rand(1, 1, 5, 6)
    halved = open_exported(run / "export/model.pt2", ["image"], 1)({"image": picture})["output"]
    assert torch.equal(halved, picture / 2)


@pytest.mark.slow
def test_float64_and_settings_of_a_cluster_are_exported_on_the_cpu(
    run: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint in float64 is compared in float64; of the yaml's trainer, no callback and no strategy is used."""
    directory = tmp_path / "double/checkpoints"
    directory.mkdir(parents=True)
    content = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"] = {name: value.double() for name, value in content["state_dict"].items()}
    torch.save(content, directory / "best.ckpt")
    settings = {
        "precision": "bf16-mixed",
        "devices": 8,
        "strategy": "ddp",
        "fast_dev_run": True,
        "callbacks": [{"type": "tests.core.components.GradientNorms"}],
    }
    options = [word for key, value in settings.items() for word in (f"--trainer.{key}", json.dumps(value))]
    dtypes = []

    def measure(runs: Any, inputs: dict[str, Tensor]) -> dict[str, dict[str, float]]:
        dtypes.append(torch.get_default_dtype())
        return measuring.measure_speed(runs, inputs)

    monkeypatch.setattr(exporting, "measure_speed", measure)
    ran = cli("export", "--ckpt_path", directory.parent, *options)
    assert ran.code == 0, ran.err
    report = read_report(directory.parent)
    assert report["samples"] == 261
    assert report["files"]["model.onnx"]["largest_difference"]["logits"] < 1e-12
    assert dtypes == [torch.float64]  # of tensors that a net creates
    assert Predictor(directory.parent / "export/model.onnx").dtypes == {"image": np.dtype("float64")}


def test_mistakes_leave_nothing(run: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object, __: object, path: Path) -> None:
        path.write_text("half")
        raise ConfigError("on purpose")

    monkeypatch.setattr(exporting, "write_pt2", fail)
    monkeypatch.setattr(exporting, "write_onnx", lambda *arguments: arguments[-1].write_text("whole"))
    ran = cli("export", "--ckpt_path", run, "--export_dir", "new/out", "--formats", "onnx,pt2")
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "error: on purpose")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--data.eval", "null", "--data.predict", "null", "--data.val", "null"],
            "export compares the files with the checkpoint on a dataset; set data.eval, such as --data.eval NAME",
        ),
        (["--data.eval", "{type: tests.core.components.Resampled, rows: [0]}"], "data.eval has no samples; export"),
        (["--trainer.limit_test_batches", "0"], "trainer.limit_test_batches is 0; export"),
        (
            ["--export_dir", "file"],
            "results cannot be written to file: [Errno 17] File exists: 'file'; set --export_dir",
        ),
    ],
    ids=["no data", "no samples", "no batches", "a file"],
)
def test_what_cannot_be_exported_is_a_mistake(
    options: list[str], message: str, run: Path, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    ran = cli("export", "--ckpt_path", run, *(["--export_dir", "out"] if "file" not in options else []), *options)
    assert (ran.code, ran.err.splitlines()[-1].startswith(f"error: {message}")) == (2, True), ran.err
    assert sorted(tmp_path.rglob("*")) == before


def test_report_that_cannot_be_written_leaves_the_older_files(
    run: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the older report would describe the new model."""
    older = {"model.onnx": "older", "export_report.json": "of the older one"}
    for name, text in older.items():
        (tmp_path / name).write_text(text)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        exporting, "write_onnx", lambda *arguments: shutil.copy(run / "export/model.onnx", arguments[-1])
    )
    monkeypatch.setattr(exporting, "write_report", fail)
    ran = cli("export", "--ckpt_path", run, "--export_dir", ".", "--trainer.limit_test_batches", "1")
    assert (ran.code, "the disk is full" in ran.err) == (1, True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == older


def test_other_sizes_of_batches_are_tried_also_if_all_have_one_sample(
    export_changed: Callable[..., Any], tmp_path: Path
) -> None:
    ran = export_changed(
        lambda path: need_samples(path, 1), "--data.batch_size", "1", "--trainer.limit_test_batches", "1"
    )
    assert ran.code == 1
    found = json.loads((tmp_path / "out/export_report.unverified.json").read_text())["mistakes"]
    assert found[0].startswith("model.onnx does not run in a batch of two samples: "), found


class OwnTest(SupervisedModule):
    """Module that evaluates something else than its output."""

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        return super().test_step(batch | {"image": batch["image"].flip(-1)}, batch_idx, dataloader_idx)


@pytest.mark.slow
def test_metrics_that_test_computes_otherwise_are_not_reported(cli: Cli, tmp_path: Path) -> None:
    """And a file of an earlier export is named, which the report does not describe."""
    run = train(TINY | {"model": TINY["model"] | {"type": f"{OWN}.OwnTest"}}, tmp_path)
    (run / "export").mkdir()
    (run / "export/model.onnx").touch()
    ran = cli("export", "--ckpt_path", run, "--formats", "pt2")
    assert ran.code == 0, ran.err
    report = read_report(run)
    assert report["checkpoint"]["metrics"] == report["files"]["model.pt2"]["metrics"] == {}
    assert "OwnTest has its own test_step: losses and metrics of `test` are not compared" in ran.err
    assert "export/model.onnx is of an earlier export; export_report.json does not describe it" in ran.err


@pytest.mark.slow
def test_dataset_of_which_all_samples_are_dropped_is_refused_as_test_does(run: Path, cli: Cli, tmp_path: Path) -> None:
    dropped = {"type": "tests.core.components.Resampled", "rows": [0]}
    sets = json.dumps({"type": None, "one": dropped, "two": TINY["data"]["eval"]})
    ran = cli("export", "--ckpt_path", run, "--export_dir", "out", "--data.eval", sets)
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: data.eval.one: `collate` dropped all samples of the evaluation",
    )


@pytest.mark.slow
def test_checksum_is_that_of_the_weights_that_were_exported(
    run: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training may replace best.ckpt at any time."""
    copied, wire = Path(shutil.copytree(run, tmp_path / "run")), graph.wire
    best, loaded = copied / "checkpoints/best.ckpt", read_report(run)["checkpoint"]["sha256"]

    def replace(module: nn.Module) -> Any:
        best.unlink()  # it was a hard link
        best.write_text("newer")
        return wire(module)

    monkeypatch.setattr(exporting, "wire", replace)
    assert cli("export", "--ckpt_path", copied, "--formats", "pt2").code == 0
    assert read_report(copied)["checkpoint"]["sha256"] == loaded
    best.write_bytes((run / "checkpoints/best.ckpt").read_bytes())
    sums = iter(["one", "another"])
    monkeypatch.setattr(stage_building, "sha256", lambda _: next(sums))
    ran = cli("export", "--ckpt_path", copied)
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        f"error: {best} was replaced while it was loaded; export it again",
    )


def test_missing_packages_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None if name == "onnxscript" else os)
    with pytest.raises(ConfigError, match=r"^export needs the packages onnx, onnxscript and onnxruntime: pip install "):
        parse_formats(None)
    assert parse_formats("pt2") == ["pt2"]
    monkeypatch.undo()
    assert (parse_formats(None), parse_formats("pt2, onnx")) == (["onnx"], ["pt2", "onnx"])


def test_exported_model_loads_in_python_as_the_checkpoint_does(run: Path) -> None:
    batch = {"image": torch.rand(5, 1, 8, 8)}
    with torch.no_grad():
        expected = project.load(run, trust=True)(batch)["logits"]
    for name in ("model.onnx", "model.pt2"):
        found = open_exported(run / "export" / name, ["image"], 1)(batch)
        assert torch.allclose(found["logits"], expected, atol=1e-6)
        assert torch.equal(found["label"], expected.argmax(1))

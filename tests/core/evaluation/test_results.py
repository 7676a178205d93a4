"""Stages write metrics.json, samples.csv and pictures, with the values of their own definitions."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from project import load
from project.core.evaluation.results import ResultsWriter, _all_gather_columns
from tests.components import Glyphs
from tests.conftest import Cli, slow_except
from tests.core.components import NamedSamples


class Confusion(MulticlassConfusionMatrix):
    """Confusion matrix with a picture of one gray pixel per pair of classes."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, validate_args=False)

    def update(self, logits: Tensor, label: Tensor) -> None:
        super().update(logits, label)

    def picture(self, value: Tensor) -> Tensor:
        """Return the counts `(classes, classes)`, at most 255, as a picture `(3, classes, classes)`."""
        return value.clamp(max=255).byte().expand(3, -1, -1)


def read_picture(path: Path) -> Tensor:
    """Return a picture `(3, H, W)` in [0, 1]."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1) / 255


@pytest.mark.parametrize(("stage", "split"), [("test", "test"), ("validate", "val")])
def test_metrics_and_values_per_sample_are_correct(
    stage: str, split: Literal["val", "test"], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny({"visual": "tests.components.Row"})).code == 0
    ran = cli(stage, "--ckpt_path", "experiments/tiny")
    assert ran.code == 0
    assert "accuracy" in ran.out
    results = tmp_path / "experiments/tiny/eval" / stage
    metrics = json.loads((results / "metrics.json").read_text())
    rows = list(csv.DictReader((results / "samples.csv").open()))
    glyphs = Glyphs(split)
    assert [int(row["index"]) for row in rows] == list(range(len(glyphs)))
    batch = glyphs.__getitems__(list(range(len(glyphs))))
    with torch.no_grad():
        logits = load(tmp_path / "experiments/tiny")(batch)["logits"]
    is_correct = (logits.argmax(1) == batch["label"]).float()
    losses = torch.nn.functional.cross_entropy(logits, batch["label"], reduction="none")
    assert list(metrics) == ["cross_entropy", "sum", "accuracy"]
    assert metrics["accuracy"] == pytest.approx(is_correct.mean().item(), abs=1e-6)
    assert metrics["cross_entropy"] == metrics["sum"] == pytest.approx(losses.mean().item(), rel=1e-5)
    assert [float(row["accuracy"]) for row in rows] == is_correct.tolist()
    assert [int(row["prediction"]) for row in rows] == logits.argmax(1).tolist()
    assert [int(row["target"]) for row in rows] == batch["label"].tolist()
    share = sum(row["prediction"] == row["target"] for row in rows) / len(rows)
    assert metrics["accuracy"] == pytest.approx(share, abs=1e-6)
    assert [float(row["cross_entropy"]) for row in rows] == pytest.approx(losses.tolist(), rel=1e-4, abs=1e-6)
    assert Image.open(results / "visual.png").size == (16 * 8, 8)


@pytest.mark.parametrize("precision", slow_except(["bf16-true", "bf16-mixed"], "bf16-true"))
def test_means_in_low_precision_are_those_of_the_samples(
    precision: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    argv = ["--data.batch_size", "1", "--trainer.precision", precision]
    assert cli("fit", "--config", tiny(), *argv, "--data.val", "null").code == 0
    assert cli("test", "--ckpt_path", "experiments/tiny", "--data.eval.split", "train").code == 0
    results = tmp_path / "experiments/tiny/eval/test"
    losses = [float(row["cross_entropy"]) for row in csv.DictReader((results / "samples.csv").open())]
    metrics = json.loads((results / "metrics.json").read_text())
    assert metrics["cross_entropy"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_predict_writes_tensors_with_a_row_per_sample(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.components.Wide"}}, "visual": "tests.components.Row"})
    assert cli("fit", "--config", config).code == 0
    tested, ran = (cli(stage, "--ckpt_path", "experiments/tiny") for stage in ("test", "predict"))
    assert (tested.code, ran.code) == (0, 0), ran.err
    rows = (tmp_path / "experiments/tiny/eval/predict/samples.csv").read_text().splitlines()
    assert rows[0] == "index," + ",".join(f"logits_{i}" for i in range(10))
    page = "(docs/how_to/own_net.md)"
    why = f"samples.csv has no predictions: Wide has no method `predict`, which makes them of logits {page}"
    assert tested.err.count(why) == 1
    assert ran.err.count(f"samples.csv has the output of Wide (logits): it has no method `predict` {page}") == 1


def test_classes_have_their_names(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the prediction and the target in an evaluation, and that of the label in `predict`."""
    names = ["no", *(f"class {i}" for i in range(1, 10))]
    monkeypatch.setattr(Glyphs, "classes", names, raising=False)
    assert cli("fit", "--config", tiny(), "--evaluation", "{every_n_epochs: 1}").code == 0
    for stage in ("validate", "test", "predict"):
        ran = cli(stage, "--ckpt_path", "experiments/tiny")
        assert ran.code == 0, ran.err
        assert "no predictions" not in ran.err
    for part in ("validate", "test", "epoch_0000", "predict"):
        rows = list(csv.DictReader((tmp_path / f"experiments/tiny/eval/{part}/samples.csv").open()))
        columns = ["label"] if part == "predict" else ["prediction", "target"]
        expected = [name for column in columns for name in (column, f"{column}_name")]
        assert [*rows[0]][1 : 1 + len(expected)] == expected
        for row, column in ((row, column) for row in rows for column in columns):
            assert row[f"{column}_name"] == names[int(row[column])]


def test_predict_writes_the_results_of_the_nets_predict(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    argv = ["--data.predict.type", "tests.components.Glyphs", "--data.predict.split", "val", "--results_dir", "out"]
    ran = cli("predict", "--ckpt_path", "experiments/tiny", *argv)
    assert ran.code == 0, ran.err
    rows = list(csv.DictReader((tmp_path / "out/samples.csv").open()))
    assert list(rows[0]) == ["index", "label", "probability"]
    glyphs = Glyphs("val")
    batch = glyphs.__getitems__(list(range(len(glyphs))))
    with torch.no_grad():
        probability, label = load(tmp_path / "experiments/tiny")(batch)["logits"].softmax(1).max(1)
    assert [int(row["label"]) for row in rows] == label.tolist()
    assert [float(row["probability"]) for row in rows] == pytest.approx(probability.tolist(), rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.yaml", "samples.csv"]


def test_options_override_the_saved_config(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    argv = ["--data.eval.split", "train", "--model.loss.cross_entropy.weight", "3", "--results_dir", "out"]
    assert cli("test", "--ckpt_path", "experiments/tiny", *argv).code == 0
    assert len((tmp_path / "out/samples.csv").read_text().splitlines()) == 1 + len(Glyphs("train"))
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["sum"] == pytest.approx(3 * metrics["cross_entropy"])


def test_predicted_pictures_are_written(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.components.ImageOutputs"}}})
    assert cli("fit", "--config", config).code == 0
    one, two = "{type: tests.components.Glyphs, split: val}", "{type: tests.core.components.NamedSamples}"
    datasets = f"{{type: null, one: {one}, two: {two}}}"
    ran = cli("predict", "--ckpt_path", "experiments/tiny", "--data.predict", datasets, "--data.batch_size", "100")
    assert ran.code == 0, ran.err
    results = tmp_path / "experiments/tiny/eval/predict"
    glyphs = Glyphs("val")
    for name, factor in (("same", 1), ("half", 0.5)):
        files = sorted((results / "one" / name).iterdir())
        assert [file.name for file in files] == [f"{index:06d}.png" for index in range(len(glyphs))]
        expected = glyphs[266]["image"] * factor
        assert torch.allclose(read_picture(files[266]), expected.expand(3, -1, -1), atol=0.5 / 255 + 1e-6)
    assert (results / "one/samples.csv").read_text().startswith("index,logits_0,")
    assert (results / "two/samples.csv").read_text().startswith("index,name,logits_0,")
    named = sorted(path.relative_to(results / "two/half").as_posix() for path in (results / "two/half").rglob("*.png"))
    assert named == sorted(f"{NamedSamples().name(index)}.png" for index in range(10))


def test_metric_with_a_picture_is_drawn_instead_of_logged(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    metric = {"confusion": {"type": f"{__name__}.Confusion", "num_classes": 10}}
    assert cli("fit", "--config", tiny({"model": {"metric": metric}})).code == 0
    run = tmp_path / "experiments/tiny"
    events = EventAccumulator(str(run / "event")).Reload()
    assert events.Tags()["images"] == ["val/confusion"]  # training batches have no picture
    (image,) = events.Images("val/confusion")
    assert (image.width, image.height) == (10, 10)
    assert not any("confusion" in name for name in events.Tags()["scalars"])
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    glyphs = Glyphs("test")
    batch = glyphs.__getitems__(list(range(len(glyphs))))
    matrix = Confusion(10)
    with torch.no_grad():
        matrix.update(load(run)(batch)["logits"], batch["label"])
    expected = matrix.picture(matrix.compute()) / 255
    assert torch.equal(read_picture(run / "eval/test/confusion.png"), expected)
    assert "confusion" not in json.loads((run / "eval/test/metrics.json").read_text())


@pytest.mark.parametrize(("rows", "kind"), [((1, 0, 1), "sample"), ((2, 0, 3), "samples"), ((2, 0, 3), "batch")])
def test_only_the_rows_that_came_count(
    kind: str, rows: tuple[int, ...], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Means, rows, names and pictures are those of the rows that `collate` keeps or makes of the samples."""
    resampled = {"type": "tests.core.components.Resampled", "length": 11, "rows": list(rows), "kind": kind}
    data = {"batch_size": 3, "train": resampled, "val": resampled, "eval": resampled}
    model = {"net": {"type": "tests.core.components.ImageOutputs"}}
    config = tiny({"data": data, "model": model, "evaluation": {"every_n_epochs": 1}})
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    indices = [index for index in range(11) for _ in range(rows[index % 3])]
    images = torch.tensor(indices).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).float()
    with torch.no_grad():
        logits = load(tmp_path / "experiments/tiny")({"image": images})["logits"]
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(indices) % 10, reduction="none")
    for stage in ("validate", "test", "predict"):
        ran = cli(stage, "--ckpt_path", "experiments/tiny")
        assert ran.code == 0, ran.err
    results = tmp_path / "experiments/tiny/eval"
    for folder in ("validate", "test", "epoch_0000"):
        table = list(csv.DictReader((results / folder / "samples.csv").open()))
        assert [int(row["index"]) for row in table] == indices
        assert [row["name"] for row in table] == [NamedSamples().name(index) for index in indices]
        assert [float(row["cross_entropy"]) for row in table] == pytest.approx(losses.tolist(), rel=1e-4, abs=1e-5)
        metrics = json.loads((results / folder / "metrics.json").read_text())
        assert metrics["cross_entropy"] == pytest.approx(losses.mean().item(), rel=1e-5)
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    assert events.Scalars("val/cross_entropy")[-1].value == pytest.approx(losses.mean().item(), rel=1e-5)
    table = list(csv.DictReader((results / "predict/samples.csv").open()))
    assert [int(row["index"]) for row in table] == indices
    assert [float(row["logits_3"]) for row in table] == pytest.approx(logits[:, 3].tolist(), rel=1e-4, abs=1e-5)
    assert len([*(results / "predict/same").rglob("*.png")]) == len(indices)


def test_evaluation_without_any_rows_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    data = "{type: tests.core.components.Resampled, rows: [0]}"
    for stage, path in (("test", "data.eval"), ("validate", "data.val")):
        ran = cli(stage, "--ckpt_path", "experiments/tiny", f"--{path}", data)
        assert ran.code == 2, ran.err
        assert ran.err.endswith(f"error: {path}: `collate` dropped all samples of the evaluation\n")
        assert not (tmp_path / "experiments/tiny/eval" / stage).exists()


@pytest.mark.parametrize(("rank", "numbers"), [(0, [0, 2, 4, 6, 8, 10]), (1, [1, 3, 5, 7, 9, 11])])
def test_rows_without_index_are_numbered_over_all_processes(rank: int, numbers: list[int], tmp_path: Path) -> None:
    """Lightning gives process r of n the samples r, r + n, ... of a data module of the user's own."""
    writer, trainer = ResultsWriter(tmp_path, {}, ""), Mock(world_size=2, global_rank=rank)
    for size in (4, 2):
        outputs = {"output": {}, "columns": {"a": torch.zeros(size)}}
        writer.on_test_batch_end(trainer, Mock(), outputs, {"image": torch.zeros(size, 1)}, 0)
    assert writer.tables[0].columns()["index"].tolist() == numbers


def test_rows_of_a_dataset_that_only_other_processes_have_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process may have none, if `collate` dropped all of its samples."""
    parts: list[dict[int, dict[str, Tensor]]] = [{}, {0: {"index": torch.tensor([5, 7])}}]

    def all_gather(gathered: list[object], own: object) -> None:
        gathered[:] = parts

    monkeypatch.setattr(torch.distributed, "all_gather_object", all_gather)
    assert _all_gather_columns(Mock(world_size=2), {})[0]["index"].tolist() == [5, 7]


def test_training_batch_without_rows_ends_the_run_with_a_message(cli: Cli, tiny: Callable[..., str]) -> None:
    data = {"type": "tests.core.components.Resampled", "rows": [0]}
    ran = cli("fit", "--config", tiny({"data": {"train": data, "batch_size": 3}}))
    assert ran.code == 2
    assert "error: data.train (Resampled): no row is left of a training batch\n" in ran.err

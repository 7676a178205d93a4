"""Tests that follow the pages about runs."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import project
from project.commands import main
from project.datasets.digits import Digits
from tests.core.run.fake_trackers import install
from tests.exactness import curves
from tests.template.conftest import ROOT, run
from tests.template.how_to.reader import FENCE, Reader
from tests.template.serving import follow

SHORT = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "5", "--trainer.log_every_n_steps", "5")


def blocks(name: str) -> list[tuple[str, str]]:
    """Return the kinds and texts of the fences of a page."""
    return re.findall(FENCE, (ROOT / f"docs/how_to/{name}.md").read_text(encoding="utf-8"), re.M | re.S)


def test_sweep(reader: Reader) -> None:
    """The sweep is that of the text: eight runs, of which none is trained."""
    shown = reader.follow("sweep", *SHORT, skip="--jobs|cli.py (table|report)")
    found = re.findall(r"^\S+ +(4|8) +([13]e-3) +([01])$", shown, re.M)
    assert len({*found}) == 8, shown
    assert not (reader.folder / "experiments").exists()


@pytest.mark.slow
def test_sweep_is_trained_and_compared(reader: Reader) -> None:
    """The table has the means of the results of the runs."""
    shown = reader.follow("sweep", *SHORT)
    runs = [*project.runs("experiments/width")]
    assert [run.state for run in runs] == ["finished"] * 8
    results = [json.loads((run.path / "eval/test/metrics.json").read_text())["accuracy"] for run in runs]
    assert [run.results["test/accuracy"] for run in runs] == results
    means = [f"{np.mean(pair):.2f}" for pair in zip(results[::2], results[1::2], strict=True)]
    assert all(mean in shown for mean in means), (means, shown)
    assert (reader.folder / "experiments/width/report.html").is_file()


def test_loggers(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both trackers have the points of TensorBoard; stand-ins, since the packages are no extras of this one."""
    trackers = install(monkeypatch)
    reader.follow("loggers", *SHORT, skip="^export|^uvx")
    for name, key in {"WandbLogger": "trainer/global_step", "MLFlowLogger": "step"}.items():
        points = trackers[name].runs["run1"]
        for curve in ("train/sum", "val/accuracy"):
            found = [(point[key], point[curve]) for point in points if curve in point]
            np.testing.assert_allclose(found, curves(reader.folder / "experiments/tracked")[curve], rtol=1e-6)
        assert trackers[name].names == {"run1": "tracked"}


@pytest.mark.slow
def test_loggers_without_stand_ins(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the page work with the packages themselves."""
    pytest.importorskip("wandb").teardown()  # its process has the current directory of the test before
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    reader.follow("loggers", *SHORT, skip="^export|^uvx")
    assert len([*reader.folder.glob("experiments/tracked/wandb/offline-*/*.wandb")]) == 1
    (tracked,) = mlflow.MlflowClient("sqlite:///mlflow.db").search_runs(["1"])
    assert tracked.data.metrics["val/accuracy"] == curves(reader.folder / "experiments/tracked")["val/accuracy"][-1][1]


@pytest.mark.slow
def test_several_gpus(reader: Reader, capfd: pytest.CaptureFixture[str]) -> None:
    """Both commands are right, here with one process, and the message about the batch size is that of the page."""
    reader.follow("several_gpus", *SHORT, "--trainer.accelerator", "cpu", "--trainer.devices", "1")
    first, second = (curves(reader.folder / "experiments" / name) for name in ("all_devices", "two"))
    assert first == second
    wrong = ("--data.batch_size", "63", "--trainer.devices", "2", "--trainer.accelerator", "cpu", "--name", "wrong")
    assert main(["fit", "--config", "configs/digits.yaml", *wrong]) == 2
    assert "data.batch_size is 63; training needs one divisible by 2 devices" in capfd.readouterr().err


@pytest.mark.slow
def test_two_processes_validate_as_one(copy: Path) -> None:
    """What the page promises, without batch norm and random shifts: a step has the same samples."""
    (command,) = re.findall(r"^python (cli\.py fit .*--name two .*)$", dict(blocks("several_gpus"))["bash"], re.M)
    net = ["--model.net", "MLP", "--model.net.in_features", "64", "--model.net.num_classes", "10"]
    same = [*SHORT, *net, "--data.train.augmentation", "null"]
    one = [*same, "--trainer.devices", "1", "--name", "one"]
    for options in (same, one):
        run(copy, sys.executable, *command.split(), *options)
    ((step, value),), ((same_step, alone),) = (
        curves(copy / "experiments" / name)["val/sum"] for name in ("two", "one")
    )
    assert step == same_step
    assert value == pytest.approx(alone, rel=1e-5)


@pytest.mark.slow
def test_reproduce(reader: Reader) -> None:
    shown = reader.follow("reproduce", *SHORT)
    assert "equal in what both recorded" in shown
    assert "verified: all 1 segment" in shown
    runs = [curves(reader.folder / "experiments" / name) for name in ("digits", "digits_rerun")]
    assert runs[0] == runs[1]


@pytest.mark.slow
def test_export_and_serve(reader: Reader, copy: Path) -> None:
    """The file predicts the digits that are written as pictures, also over HTTP."""
    reader.follow("export_and_serve", skip="cli.py serve|^curl")
    with (reader.folder / "experiments/digits/export/eval/predict_files/samples.csv").open() as file:
        labels = {Path(row["name"]).stem: int(row["label"]) for row in csv.DictReader(file)}
    digits = Digits("test")
    expected = {str(number): int(digits[number]["label"]) for number in range(20)}
    assert sum(labels[name] == label for name, label in expected.items()) >= 19
    shutil.copytree(reader.folder / "experiments", copy / "experiments", dirs_exist_ok=True)
    shutil.copytree(reader.folder / "pictures", copy / "pictures")
    lines = [line for _, text in blocks("export_and_serve") for line in text.splitlines()]
    requests = [line for line in lines if line.startswith(("python cli.py serve ", "curl "))]
    (answer,) = follow(copy, [("bash", "\n".join(requests))]).values()
    assert json.loads(answer)["predictions"][0]["answers"]["label"] == labels["0"]


@pytest.mark.slow
def test_notebook(reader: Reader) -> None:
    """The cells of the page run, and the replayed step has the loss of the curve."""
    reader.follow("notebook", skip="^jupyter")
    train, ask = (text for kind, text in blocks("notebook") if kind == "python")
    names: dict[str, Any] = {}
    options = ", ".join(map(repr, ("5", *SHORT[:4])))
    exec(train.replace('"5"', options), names)
    exec(ask, names)
    assert names["loss"].item() == names["values"][0]

"""validate, test and predict take several runs, and average their outputs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from project import load
from project.core.cli.arguments import Arguments
from project.core.cli.ensemble import find_checkpoints
from project.core.errors import ConfigError
from tests.components import Glyphs
from tests.conftest import Cli


@pytest.mark.slow
def test_results_are_those_of_the_mean_of_probabilities(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The nets differ in width; test and predict agree with the mean computed by hand."""
    config = tiny()
    for number, width in enumerate((4, 8, 16)):
        argv = ["--seed", str(number), "--model.net.hidden", str(width), "--root", "cv", "--name", f"0000_fold{number}"]
        assert cli("fit", "--config", config, *argv).code == 0
    ensemble = ["--ckpt_path", "cv/0000_*", "--results_dir"]
    assert cli("test", *ensemble, "tested").code == 0
    argv = ["--data.predict.type", "tests.components.Glyphs", "--data.predict.split", "test"]
    assert cli("predict", *ensemble, "predicted", *argv).code == 0
    glyphs = Glyphs("test")
    batch = glyphs.__getitems__(list(range(len(glyphs))))
    with torch.no_grad():
        members = [load(tmp_path / f"cv/0000_fold{number}")(batch)["logits"].softmax(1) for number in range(3)]
    probability, label = (sum(members) / 3).max(1)
    rows = list(csv.DictReader((tmp_path / "predicted/samples.csv").open()))
    assert [int(row["label"]) for row in rows] == label.tolist()
    assert [float(row["probability"]) for row in rows] == pytest.approx(probability.tolist(), rel=1e-4)
    metrics = json.loads((tmp_path / "tested/metrics.json").read_text())
    loss = -(sum(members) / 3).log()[range(len(glyphs)), batch["label"]].mean().item()
    assert metrics["cross_entropy"] == pytest.approx(loss, rel=1e-4)
    assert metrics["accuracy"] == pytest.approx((label == batch["label"]).float().mean().item())
    text = (tmp_path / "tested/config.yaml").read_text()
    assert [line.rpartition("/cv/")[2] for line in text.splitlines() if line.startswith("# average with ")] == [
        f'0000_fold{number}/checkpoints/best.ckpt"' for number in (1, 2)
    ]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with three runs and other things; it is the working directory."""
    for name in ("a,1", "b", "c[0]"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints/best.ckpt").touch()
        (tmp_path / name / "config.yaml").write_text("name: x\nroot: x\nmodel: {}\ndata: {}\ntrainer: {}\n")
    (tmp_path / "eval").mkdir()
    (tmp_path / "report.html").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,1", ["a,1"]),
        ("c[0]", ["c[0]"]),
        ("b", ["b"]),
        ("*", ["a,1", "b", "c[0]"]),
        ("b,c[0]", ["b", "c[0]"]),
        ("c[0], b, ?", ["c[0]", "b"]),
        ("b/checkpoints/*.ckpt", ["b"]),
    ],
)
def test_pattern_and_commas_name_several_runs(text: str, names: list[str], runs: Path) -> None:
    """What exists is taken as it is, whatever its name contains; a run counts once."""
    arguments = Arguments("test", options={"ckpt_path": text, "results_dir": "x"})
    assert find_checkpoints(arguments) == [Path(name) / "checkpoints/best.ckpt" for name in names]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "test needs --ckpt_path"),
        ({"ckpt_path": "b,d"}, "there is no run or checkpoint 'd'"),
        ({"ckpt_path": "x*"}, "there is no run or checkpoint"),
        ({"ckpt_path": "*"}, "an ensemble of 3 runs needs --results_dir"),
        ({"ckpt_path": "b,model.onnx", "results_dir": "x"}, "not exported models"),
    ],
)
def test_mistake_is_refused(options: dict[str, str], message: str, runs: Path) -> None:
    (runs / "model.onnx").touch()
    with pytest.raises(ConfigError, match=message):
        find_checkpoints(Arguments("test", options=options))

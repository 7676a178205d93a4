"""Tests of docs/deploy.md: its commands and snippets run one after another, and tell what the page says."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from project.deploy.model_card import ModelCard
from tests.template.conftest import ROOT, run
from tests.template.test_tour import DRIVER

PAGE = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
INSTALLS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line.startswith("pip ")]
EXPORT = Path("experiments/digits/export")

# Predicts as on a machine without torch and the packages of the engine.
SERVER = """
import sys
sys.modules.update(dict.fromkeys(["torch", "pytorch_lightning", "jsonargparse", "yaml", "loguru"]))
import project
from pathlib import Path
predictor = project.Predictor(sys.argv[1])
for file in map(Path, sys.argv[2:]):
    answer = predictor.predict(image=file)
    assert predictor.predict(image=file.read_bytes()) == answer
    print(file.name, answer["label"], answer["probability"])
assert not [name for name in sys.modules if name.startswith("project.core")]
"""


def test_the_card_has_the_keys_of_the_page() -> None:
    table = PAGE.partition("\n## What is in the file\n")[2].partition("\n## ")[0]
    keys = [key for row in re.findall(r"^\| (`.*?) \|", table, re.M) for key in re.findall(r"`(\w+)`", row)]
    assert keys == sorted(ModelCard.__dataclass_fields__, key=keys.index)


def test_the_page_installs_the_extra_and_a_server() -> None:
    assert INSTALLS == [
        "pip install -c constraints.txt -e '.[export]'",
        "pip install numpy pillow onnxruntime",
        "pip install --no-deps .",
    ]


@pytest.mark.slow
def test_snippets_and_commands_of_the_page(copy: Path, tmp_path: Path) -> None:
    printed = follow(copy)
    right, wrong = (json.loads((copy / path).read_text()) for path in metrics_paths())
    assert right.keys() == wrong.keys() >= {"cross_entropy", "accuracy"}
    assert all(value == pytest.approx(right[name], rel=1e-5) for name, value in wrong.items())
    assert right["accuracy"] >= 0.97
    check_report(copy)
    assert printed.splitlines()[-1] in set("0123456789")
    check_predictions(copy, tmp_path)


def follow(folder: Path) -> str:
    """Run the commands and the snippets of the page in a folder, and return what they print."""
    printed = ""
    for kind, block in BLOCKS:
        lines = [line for line in block.splitlines() if line not in INSTALLS]
        if kind == "bash" and lines:
            printed += run(folder, sys.executable, "-c", DRIVER, *lines)
        elif kind == "python" and "self.raw" not in block:
            printed += run(folder, sys.executable, "-c", block)
    return printed


def check_predictions(folder: Path, server: Path) -> None:
    """Check that the checkpoint, the exported file and a Predictor without torch predict the same of each picture."""
    (server / "project").mkdir()
    shutil.copytree(folder / "project/deploy", server / "project/deploy")
    shutil.copy(folder / "project/__init__.py", server / "project")
    files = sorted((folder / "pictures").iterdir())
    shown = run(server, sys.executable, "-c", SERVER, str(folder / EXPORT / "model.onnx"), *map(str, files))
    by_server = {name: (label, float(value)) for name, label, value in map(str.split, shown.splitlines())}
    by_checkpoint = predictions(folder / "experiments/digits/eval/predict_files/samples.csv")
    by_file = predictions(folder / EXPORT / "eval/predict_files/samples.csv")
    assert len(by_checkpoint) == 20
    assert sorted(by_file) == sorted(name for name in by_checkpoint if name.startswith("1"))
    for others in (by_server, by_file):
        for name, (label, probability) in others.items():
            assert label == by_checkpoint[name][0]
            assert probability == pytest.approx(by_checkpoint[name][1], abs=1e-6)
    assert by_server.keys() == by_checkpoint.keys()


def metrics_paths() -> tuple[Path, Path]:
    """Return where `test` writes the metrics of the checkpoint and of the exported file."""
    return Path("experiments/digits/eval/test/metrics.json"), EXPORT / "eval/test/metrics.json"


def check_report(folder: Path) -> None:
    """Check that the report has the keys of the page's excerpt, and that each file is right."""
    (excerpt,) = (json.loads(block) for kind, block in BLOCKS if kind == "json")
    report = json.loads((folder / EXPORT / "export_report.json").read_text())
    assert paths(excerpt) <= paths(report)
    assert report["verified"]
    assert report["samples"] == excerpt["samples"] == 261
    assert report["files"].keys() == {"model.onnx", "model.pt2"}
    for name, entry in report["files"].items():
        assert entry["bytes"] == (folder / EXPORT / name).stat().st_size
        assert max(entry["largest_difference"].values()) < 1e-4


def paths(values: Any, start: str = "") -> set[str]:
    """Return the keys of nested dicts, joined by slashes."""
    if not isinstance(values, dict):
        return {start}
    return {path for key, value in values.items() for path in paths(value, f"{start}/{key}")}


def predictions(file: Path) -> dict[str, tuple[str, float]]:
    """Return label and probability of each picture in a samples.csv."""
    with file.open(newline="") as opened:
        return {row["name"]: (row["label"], float(row["probability"])) for row in csv.DictReader(opened)}

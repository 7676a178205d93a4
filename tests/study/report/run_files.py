"""A run directory with every file that a report reads."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from project.study.events import Curves

CONFIG = """\
name: NAME
seed: 0
model:
  type: SupervisedModule
  net: {type: Net, width: 16, depth: 2}
  loss:
    hinge: {weight: 1.0}
    l1: {weight: 0.5}
data: {batch_size: 8}
checkpoint: {monitor: val/accuracy, mode: max}
trainer: {max_epochs: 3}
"""
GIVEN = """\
model:
  net: {type: Net, width: 16}
  loss: {hinge: {}, l1: {weight: "${vars.weight}"}}
data: {batch_size: 8}
checkpoint: {monitor: val/accuracy, mode: max}
trainer: {max_epochs: 3}
"""
LOG = """\
2026-01-01 10:00:00 INFO    the run directory is here
2026-01-01 10:00:01 INFO    epoch 1/3   step 10   2.5 s   train/hinge 1
2026-01-01 10:00:01 WARNING the loss is <b>large</b>
2026-01-01 10:00:02 INFO    epoch 2/3   step 20   1.5 s   train/hinge 1
2026-01-01 10:00:02 WARNING the loss is <b>large</b>
2026-01-01 10:00:03 INFO    epoch 3/3   step 30   1.7 s   train/hinge 1
"""
DIFF = """\
diff --git a/nets.py b/nets.py
--- a/nets.py
+++ b/nets.py
@@ -1,2 +1,2 @@
-width = 1
+width = "</script>"
"""
SUMMARY = {
    "state": "finished",
    "reason": "trainer.max_epochs (3) is reached",
    "best": {"monitor": "val/accuracy", "value": 0.75, "epoch": 2, "step": 20, "file": "checkpoints/best.ckpt"},
    "last": None,
    "values": {},
    "seconds": 6.0,
    "steps": 30,
    "epochs": 3,
}
ENVIRONMENT = {
    "python": {"version": "3.11.7"},
    "threads": {"torch": 1},
    "gpu": {},
    "git": {"commit": None},
    "packages": {"torch": "2.10.0", "numpy": "2.0"},
}
SAMPLES = """\
index,prediction,target,hinge
0,cat,cat,0.25
1,dog,cat,3.5
2,cat,cat,0.5
"""


def write_picture(path: Path, level: int = 128, size: tuple[int, int] = (16, 12)) -> None:
    """Write a grey picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def write_run(path: Path) -> Path:
    """Write a run directory that has everything but event files."""
    write_files(
        path,
        {
            "config.yaml": CONFIG.replace("NAME", path.name),
            "given.yaml": GIVEN,
            "log.txt": LOG,
            "git.diff": DIFF,
            "summary.json": json.dumps(SUMMARY),
            "environment.json": json.dumps(ENVIRONMENT),
            "environment.resume1.json": json.dumps(ENVIRONMENT | {"threads": {"torch": 4}}),
            "eval/test/metrics.json": json.dumps({"hinge": 1.25, "l1": 0.5, "sum": 1.5, "accuracy": 0.6666667}),
            "eval/test/samples.csv": SAMPLES,
            "eval/test/confusion_matrix.json": json.dumps({"counts": [[2, 1], [0, 4]], "classes": ["cat", "<dog>"]}),
        },
    )
    (path / "checkpoints").mkdir()
    for index in range(3):
        write_picture(path / f"eval/test/samples/{index:06d}.png", 60 * index)
        write_picture(path / f"progress/val/epoch_{index:04d}_step_{10 * index + 10:06d}.png", 60 * index)
    write_picture(path / "eval/test/visual.png")
    return path


def write_files(path: Path, texts: Mapping[str, str]) -> None:
    """Write text files into a directory."""
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")


def make_curves() -> Curves:
    """Return curves of a run: two losses and a metric of both splits, and a learning rate."""
    steps = np.arange(1, 31)
    curves: Curves = {
        "train/hinge": (steps, 3 / steps, 1000.0 + steps),
        "val/hinge": (steps[9::10], 4 / steps[9::10], 1000.0 + steps[9::10]),
        "val/accuracy": (steps[9::10], np.array([0.5, 0.75, 0.7]), 1000.0 + steps[9::10]),
        "lr-SGD": (steps, np.full(30, 0.1), 1000.0 + steps),
    }
    return curves

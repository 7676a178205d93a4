"""Run directories made without training."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from project.core.config.yaml_files import dump_yaml

FILE = "event/events.out.tfevents.1700000000.here.1.0"
Points = Mapping[str, Sequence[float]]


def make_run(
    path: Path,
    settings: Mapping[str, Any],
    curves: Points | None = None,
    results: Mapping[str, float] | None = None,
    state: str = "finished",
    seconds: float = 10.0,
    reason: str | None = None,
) -> Path:
    """Write a run directory.

    Args:
        path: the run directory.
        settings: values of config.yaml by config path.
        curves: values by name, logged every ten steps; the best one of `val/accuracy` is the best value.
        results: metrics of the test.
        state: state in summary.json.
        seconds: seconds of training.
        reason: why it ended.
    """
    tree: dict[str, Any] = {"name": path.name, "checkpoint": {"monitor": "val/accuracy", "mode": "max"}}
    for key, value in settings.items():
        *parents, last = key.split(".")
        part = tree
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    monitored = [value for value in (curves or {}).get("val/accuracy", ()) if math.isfinite(value)]
    best = (
        {"monitor": "val/accuracy", "value": max(monitored), "epoch": 1, "step": 10, "file": None}
        if monitored
        else None
    )
    steps = 10 * max(map(len, (curves or {}).values()), default=0)
    values = {name: points[-1] for name, points in (curves or {}).items() if len(points)}
    summary: dict[str, Any] = {"state": state, "reason": reason, "best": best, "last": None, "values": values}
    summary |= {"seconds": seconds, "steps": steps, "epochs": 1}
    _write(path, tree, summary, results)
    add_points(path, curves or {})
    return path


def write_run(
    path: Path,
    config: dict[str, Any],
    state: str = "finished",
    reason: str | None = "done",
    best: float | None = None,
    values: dict[str, float] | None = None,
    test: float | None = None,
) -> Path:
    """Write a run directory without curves, whose best value is the lowest val/loss.

    Args:
        path: the directory.
        config: settings beside those that every run has.
        state: state in summary.json; empty for none.
        reason: reason in summary.json.
        best: best val/loss.
        values: last values; None for a summary without them.
        test: accuracy of an evaluation.
    """
    common = {"name": path.name, "root": str(path.parent), "checkpoint": {"monitor": "val/loss", "mode": "min"}}
    where = {"monitor": "val/loss", "value": best, "epoch": 2, "step": 8, "file": "checkpoints/best.ckpt"}
    summary: dict[str, Any] = {"state": state, "reason": reason, "best": None if best is None else where, "last": None}
    summary |= {"seconds": 1.5, "steps": 10, "epochs": 3} | ({} if values is None else {"values": values})
    _write(path, common | config, summary if state else None, None if test is None else {"accuracy": test})
    return path


def _write(path: Path, tree: dict[str, Any], summary: Any, results: Mapping[str, float] | None) -> None:
    (path / "checkpoints").mkdir(parents=True)
    (path / "config.yaml").write_text(dump_yaml(tree), encoding="utf-8")
    if summary:
        (path / "summary.json").write_text(json.dumps(summary))
    if results:
        (path / "eval/test").mkdir(parents=True)
        (path / "eval/test/metrics.json").write_text(json.dumps(dict(results)))


def add_points(run: Path, curves: Points, first: int = 0) -> None:
    """Append values to the curves of a run, every ten steps.

    Args:
        run: the run directory.
        curves: values by name.
        first: number of values that the curves have.
    """
    file = run / FILE
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as opened:
        records = RecordWriter(opened)
        for name, values in curves.items():
            for index, value in enumerate(values, start=first):
                scalar = Summary(value=[Summary.Value(tag=name, simple_value=value)])
                step = 10 * (index + 1)
                records.write(Event(step=step, wall_time=1.7e9 + step, summary=scalar).SerializeToString())


def make_study(root: Path, count: int, points: int = 30, names: int = 4, repeats: int = 1) -> Path:
    """Write runs of a random search, in which the learning rate matters most, the depth little and the rest not.

    Args:
        root: the directory.
        count: number of runs.
        points: length of each curve.
        names: number of curves.
        repeats: number of runs with the same settings and other seeds.
    """
    draw = random.Random(0)
    for number in range(count):
        if number % repeats == 0:
            settings: dict[str, Any] = {
                "model.optimizer.lr": 10 ** draw.uniform(-4, -1),
                "model.net.depth": draw.choice([2, 4, 8]),
                "model.net.type": draw.choice(["MLP", "ResNet"]),
                "data.batch_size": draw.choice([16, 32, 64]),
                "trainer.gradient_clip_val": draw.choice([None, 0.5, 1.0]),
            }
        lr, depth = settings["model.optimizer.lr"], settings["model.net.depth"]
        quality = 0.95 - 0.12 * abs(math.log10(lr) + 2.5) + 0.005 * depth + draw.gauss(0, 0.01)
        rise = [quality * (1 - math.exp(-6 * (step + 1) / points)) + draw.gauss(0, 0.01) for step in range(points)]
        fall = [2.3 * math.exp(-5 * (step + 1) / points) + 1 - quality + draw.gauss(0, 0.02) for step in range(points)]
        curves = {"val/accuracy": rise, "train/loss": fall}
        curves |= {f"val/other_{n}": [value * draw.uniform(0.9, 1.1) for value in fall] for n in range(names - 2)}
        state = {3: "failed", 7: "pruned", 11: "running"}.get(number % 100, "finished")
        reason = {"failed": "CUDA out of memory", "pruned": "below the median at step 50"}.get(state)
        run = root / f"{number // repeats:04d}_seed{number % repeats}"
        make_run(
            run,
            {**settings, "seed": number % repeats},
            curves if state == "finished" else {name: values[: points // 2] for name, values in curves.items()},
            {"accuracy": quality - 0.01, "loss": 1 - quality} if state == "finished" else None,
            state,
            draw.uniform(20, 300),
            reason,
        )
    return root

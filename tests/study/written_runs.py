"""Run directories as the engine writes them, without training."""

import json
from pathlib import Path
from typing import Any

from project.core.config.yaml_files import dump_yaml


def write_run(
    path: Path,
    config: dict[str, Any],
    state: str = "finished",
    reason: str | None = "done",
    best: float | None = None,
    values: dict[str, float] | None = None,
    test: float | None = None,
) -> Path:
    """Write a run directory.

    Args:
        path: the directory.
        config: settings beside those that every run has.
        state: state in summary.json; empty for none.
        reason: reason in summary.json.
        best: best val/loss.
        values: last values; None for a summary without them.
        test: accuracy of an evaluation.
    """
    (path / "checkpoints").mkdir(parents=True)
    common = {"name": path.name, "root": str(path.parent), "checkpoint": {"monitor": "val/loss", "mode": "min"}}
    (path / "config.yaml").write_text(dump_yaml(common | config), encoding="utf-8")
    if state:
        where = {"monitor": "val/loss", "value": best, "epoch": 2, "step": 8, "file": "checkpoints/best.ckpt"}
        summary: dict[str, Any] = {
            "state": state,
            "reason": reason,
            "best": where if best is not None else None,
            "last": None,
        }
        summary |= {"seconds": 1.5, "steps": 10, "epochs": 3} | ({} if values is None else {"values": values})
        (path / "summary.json").write_text(json.dumps(summary))
    if test is not None:
        (path / "eval/test").mkdir(parents=True)
        (path / "eval/test/metrics.json").write_text(json.dumps({"accuracy": test}))
    return path

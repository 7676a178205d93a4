"""wandb and mlflow themselves, without a server; skipped where they are not installed."""

from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cli
from tests.exactness import curves

_HEADER, _BLOCK = 7, 32768  # of wandb's file, whose format is that of LevelDB's log


@pytest.mark.slow
def test_trackers_have_the_settings_curves_and_pictures_of_runs(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of one process and a resume, with the numbers of TensorBoard."""
    wandb, mlflow = (pytest.importorskip(name) for name in ("wandb", "mlflow"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    started: list[Any] = []

    @wraps(wandb.init)
    def init(**given: Any) -> Any:
        started.append(given["resume"])
        return init.__wrapped__(**given)

    monkeypatch.setattr(wandb, "init", init)
    database = f"sqlite:///{tmp_path}/mlflow.db"
    loggers = [
        {"type": "WandbLogger", "project": "tests", "group": "one"},
        {"type": "MLFlowLogger", "experiment_name": "tests", "tracking_uri": database},
    ]
    trainer = {"max_epochs": 1, "log_every_n_steps": 1, "logger": loggers}
    config = tiny({"visual": {"type": "tests.components.Row"}, "trainer": trainer})
    more = ("--trainer.max_epochs", "2", "--model.optimizer.lr", "0.02")
    start, resume = ["--config", config], ["--resume", "experiments/tiny", *more]
    for argv in (start, [*start, "--name", "other"], resume):
        ran = cli("fit", *argv)
        assert ran.code == 0, ran.err

    runs = {run.info.run_name: run for run in mlflow.MlflowClient(database).search_runs(["1"])}
    assert {name: run.info.status for name, run in runs.items()} == {"tiny": "FINISHED", "other": "FINISHED"}
    run = runs["tiny"]
    assert run.data.params["model/optimizer/lr"] != "0.02"  # MLflow's parameters cannot change
    history = mlflow.MlflowClient(database).get_metric_history(run.info.run_id, "train/sum")
    expected = curves(tmp_path / "experiments/tiny")["train/sum"]
    assert sorted((point.step, point.value) for point in history) == expected
    images = Path(run.info.artifact_uri.removeprefix("file://")).glob("images/val~visual*.png")
    steps = sorted(path.name.split("+")[2] for path in images)
    assert steps == ["2", "2", "4"]  # the resumed run validates again after step 2

    files = sorted((tmp_path / "experiments").glob("*/wandb/offline-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    first, other, resumed = ([*records(path)] for path in files)
    assert started == ["allow"] * 3  # else the server overwrites the run that is resumed
    assert run_id(first) == run_id(resumed) != run_id(other)
    assert sorted(points(first, "train/sum") + points(resumed, "train/sum")) == expected
    assert len(points(other, "train/sum")) == 2
    assert [each.exit.exit_code for each in first + other + resumed if each.HasField("exit")] == [0, 0, 0]
    settings = [update.value_json for each in resumed for update in each.config.update if update.key == "model"]
    assert '"lr":0.02' in settings[-1]


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a file of wandb."""
    record = import_module("wandb.proto.wandb_internal_pb2").Record
    data, at, content = path.read_bytes(), _HEADER, b""
    while at + 7 <= len(data):
        if (left := _BLOCK - at % _BLOCK) < 7:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        content += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # the last part of a record
            yield record.FromString(content)
            content = b""


def run_id(found: list[Any]) -> str:
    return next(str(each.run.run_id) for each in found if each.HasField("run"))


def points(found: list[Any], name: str) -> list[tuple[int, float]]:
    """Return step and value of the points of a curve."""
    rows = [{item.key or item.nested_key[0]: item.value_json for item in each.history.item} for each in found]
    return [(int(row["trainer/global_step"]), float(row[name])) for row in rows if name in row]

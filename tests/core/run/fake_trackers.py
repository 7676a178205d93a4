"""Modules in place of wandb, mlflow and comet_ml, as far as Lightning's loggers use them; they keep what is logged.

tests/core/run/test_real_trackers.py needs the packages themselves.
"""

import itertools
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.loggers import comet, mlflow, wandb

Runs = dict[str, list[dict[str, Any]]]  # points by run id


class FakeTracker:
    """A server that gives ids to runs, and keeps their points, settings and pictures."""

    def __init__(self) -> None:
        self.runs: Runs = {}
        self.names: dict[str, str | None] = {}
        self.settings: list[dict[str, Any]] = []
        self.pictures: list[str] = []
        self._numbers = itertools.count(1)

    def start(self, given: str | None, name: str | None = None) -> str:
        """Return the id of a run that is continued, or of a new one with a name."""
        run_id = given or f"run{next(self._numbers)}"
        if run_id not in self.runs:
            self.runs[run_id], self.names[run_id] = [], name
        return run_id


class WandbRun:
    """Run of wandb."""

    name = "a name"

    def __init__(self, tracker: FakeTracker, arguments: dict[str, Any]) -> None:
        assert arguments["resume"] == "allow"
        self.id = tracker.start(arguments["id"], arguments["name"])
        self.tracker, self.config = tracker, self

    def update(self, values: dict[str, Any], allow_val_change: bool) -> None:
        assert allow_val_change
        self.tracker.settings.append(values)

    def log(self, values: dict[str, Any]) -> None:
        pictures = [name for name, value in values.items() if isinstance(value, list)]
        self.tracker.pictures += pictures
        if not pictures:
            self.tracker.runs[self.id].append(values)


class MlflowClient:
    """Client of mlflow."""

    tracker: FakeTracker

    def __init__(self, tracking_uri: str) -> None:
        pass

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def create_run(self, experiment_id: str, tags: dict[str, str]) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=self.tracker.start(None, dict(tags)["name"])))

    def get_run(self, run_id: str) -> SimpleNamespace:
        assert run_id in self.tracker.runs
        return SimpleNamespace(info=SimpleNamespace(experiment_id="1"))

    def log_batch(self, run_id: str, metrics: Sequence[SimpleNamespace] = (), params: Sequence[Any] = ()) -> None:
        if params:
            self.tracker.settings.append({param.key: param.value for param in params})
            return
        self.tracker.runs[run_id].append({metric.key: metric.value for metric in metrics} | {"step": metrics[0].step})

    def log_image(self, run_id: str, image: object, key: str, step: int) -> None:
        self.tracker.pictures.append(key)

    def set_terminated(self, run_id: str, status: str) -> None:
        pass


class CometExperiment:
    """Experiment of comet_ml."""

    project_name = "a project"

    def __init__(self, tracker: FakeTracker, key: str | None) -> None:
        self.tracker, self.key = tracker, tracker.start(key)
        self.points = tracker.runs[self.key]

    def get_key(self) -> str:
        return self.key

    def log_other(self, *_: object) -> None:
        pass

    def flush(self) -> None:
        pass

    def __internal_api__log_parameters__(self, parameters: dict[str, Any], **_: object) -> None:
        self.tracker.settings.append(parameters)

    def __getattr__(self, name: str) -> Any:
        if name == "__internal_api__log_metrics__":
            return lambda values, step, **_: self.points.append(values | {"step": step})
        assert name == "__internal_api__set_model_graph__"
        return lambda **_: None


def install(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeTracker]:
    """Install the modules, and return the tracker of each of Lightning's loggers."""
    trackers = {name: FakeTracker() for name in ("WandbLogger", "MLFlowLogger", "CometLogger")}
    monkeypatch.setattr(MlflowClient, "tracker", trackers["MLFlowLogger"], raising=False)
    nothing, entity = type("Nothing", (), {}), SimpleNamespace
    modules: dict[str, dict[str, Any]] = {
        "wandb": {
            "run": None,
            "Image": lambda image: image,
            "init": lambda **given: WandbRun(trackers["WandbLogger"], given),
        },
        "wandb.sdk": {},
        "wandb.sdk.lib": {"RunDisabled": nothing},
        "wandb.wandb_run": {"Run": nothing},
        "mlflow": {"set_tracking_uri": lambda uri: None},
        "mlflow.tracking": {"MlflowClient": MlflowClient, "context": SimpleNamespace()},
        "mlflow.utils": {},
        "mlflow.utils.mlflow_tags": {"MLFLOW_RUN_NAME": "name"},
        "mlflow.entities": {"Metric": entity, "Param": entity},
        "comet_ml": {
            "ExperimentConfig": lambda **_: SimpleNamespace(offline_directory=None),
            "start": lambda experiment_key, **_: CometExperiment(trackers["CometLogger"], experiment_key),
        },
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for module, name in ((wandb, "_WANDB_AVAILABLE"), (mlflow, "_MLFLOW_AVAILABLE"), (comet, "_COMET_AVAILABLE")):
        monkeypatch.setattr(module, name, True)
    return trackers

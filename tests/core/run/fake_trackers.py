"""Modules in place of wandb, mlflow and comet_ml, as far as Lightning's loggers use them; they keep what is logged."""

import itertools
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.loggers import comet, mlflow, wandb

Runs = dict[str, list[dict[str, Any]]]  # points by run id


class FakeTracker:
    """A server that gives ids to runs, and keeps their points."""

    def __init__(self) -> None:
        self.runs: Runs = {}
        self._numbers = itertools.count(1)

    def start(self, given: str | None) -> str:
        """Return the id of a run that is continued, or of a new one."""
        name = given or f"run{next(self._numbers)}"
        self.runs.setdefault(name, [])
        return name


class WandbRun:
    """Run of wandb."""

    name = "a name"

    def __init__(self, tracker: FakeTracker, arguments: dict[str, Any]) -> None:
        assert arguments["resume"] == "allow"
        self.id = tracker.start(arguments["id"])
        self.points = tracker.runs[self.id]

    def log(self, values: dict[str, Any]) -> None:
        self.points.append(values)


class MlflowClient:
    """Client of mlflow."""

    tracker: FakeTracker

    def __init__(self, tracking_uri: str) -> None:
        pass

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def create_run(self, experiment_id: str, tags: object) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=self.tracker.start(None)))

    def get_run(self, run_id: str) -> SimpleNamespace:
        assert run_id in self.tracker.runs
        return SimpleNamespace(info=SimpleNamespace(experiment_id="1"))

    def log_batch(self, run_id: str, metrics: list[SimpleNamespace]) -> None:
        self.tracker.runs[run_id].append({metric.key: metric.value for metric in metrics} | {"step": metrics[0].step})

    def set_terminated(self, run_id: str, status: str) -> None:
        pass


class CometExperiment:
    """Experiment of comet_ml."""

    project_name = "a project"

    def __init__(self, tracker: FakeTracker, key: str | None) -> None:
        self.key = tracker.start(key)
        self.points = tracker.runs[self.key]

    def get_key(self) -> str:
        return self.key

    def log_other(self, *_: object) -> None:
        pass

    def flush(self) -> None:
        pass

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
        "wandb": {"run": None, "init": lambda **given: WandbRun(trackers["WandbLogger"], given)},
        "wandb.sdk": {},
        "wandb.sdk.lib": {"RunDisabled": nothing},
        "wandb.wandb_run": {"Run": nothing},
        "mlflow": {"set_tracking_uri": lambda uri: None},
        "mlflow.tracking": {"MlflowClient": MlflowClient, "context": SimpleNamespace()},
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

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from project.core.records import flatten
from tests.conftest import Cli


@pytest.fixture
def events(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Any:
    config = tiny(
        {
            "model": {
                "loss": {"aux": {"type": "tests.rooms.CrossEntropy", "weight": 0.5}},
                "groups": [{"match": "net.head.*", "lr": 0.5}],
            },
            "visual": {"type": "tests.rooms.Row"},
            "progress": {"train": 3, "val": 2},
            "trainer": {
                "max_time": "12:00:00:00",
                "limit_train_batches": 6,
                "log_every_n_steps": 2,
                "max_epochs": 2,
                "logger": [{"type": "CSVLogger"}],
            },
        }
    )
    ran = cli("fit", "--config", config)
    assert ran.code == 0, ran.err
    return EventAccumulator(str(tmp_path / "experiments/tiny/event"), {"images": 0}).Reload()


def test_what_tensorboard_shows(events: Any, tmp_path: Path) -> None:
    scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for part in ("train", "val"):
        assert {f"{part}/{name}" for name in ("cross_entropy", "aux", "sum", "accuracy")} <= scalars.keys()
    assert {"lr-AdamW/rest", "lr-AdamW/net.head.*"} <= scalars.keys()
    assert scalars["lr-AdamW/net.head.*"][0].value == 0.5
    assert [event.step for event in scalars["train/sum"]] == [1, 3, 5, 7, 9, 11]
    assert [event.step for event in scalars["val/sum"]] == [5, 11]
    for part in ("train", "val"):
        total, one, aux = (scalars[f"{part}/{name}"][0].value for name in ("sum", "cross_entropy", "aux"))
        assert total == pytest.approx(one + 0.5 * aux, rel=1e-5)
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(config.removeprefix("```yaml\n").removesuffix("```"))["name"] == "tiny"
    assert len(events.Images("val/visual")) == len(events.Images("train/visual")) == 2
    assert (events.Images("val/visual")[0].width, events.Images("val/visual")[0].height) == (16, 8)
    for part in ("train", "val"):
        files = sorted(path.name for path in (tmp_path / f"experiments/tiny/progress/{part}").iterdir())
        assert files == ["epoch_0000_step_000006.png", "epoch_0001_step_000012.png"]


def test_hyper_parameters_with_final_metrics(events: Any) -> None:
    summary = HParamsPluginData.FromString(
        events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info.hparams
    assert summary["model.net.hidden"].number_value == 8
    assert summary["trainer.max_time"].string_value == "12:00:00:00"
    assert summary["model.optimizer.type"].string_value == "AdamW"
    assert summary["model.optimizer.betas"].string_value == "[0.9, 0.999]"
    experiment = HParamsPluginData.FromString(
        events.summary_metadata["_hparams_/experiment"].plugin_data.content
    ).experiment
    metrics = {info.name.tag for info in experiment.metric_infos}
    assert {"val/accuracy", "val/sum", "train/sum"} <= metrics
    assert metrics <= {*events.Tags()["scalars"]}  # the tab shows the last point of these curves
    assert "hp_metric" not in events.Tags()["scalars"]


def test_other_loggers_lie_in_the_runs_folder(events: Any, tmp_path: Path) -> None:
    assert list((tmp_path / "experiments/tiny").glob("lightning_logs/version_0/metrics.csv"))


def test_the_interval_is_capped_at_the_number_of_batches(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0  # 2 batches, log_every_n_steps is 50
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    assert [event.step for event in events.Scalars("train/sum")] == [1]


def test_accumulated_batches_are_logged_too(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--trainer.limit_train_batches", "4", "--trainer.accumulate_grad_batches", "4"]
    assert cli("fit", "--config", tiny(), *argv).code == 0
    events = EventAccumulator(str(tmp_path / "experiments/tiny/event")).Reload()
    assert {"train/sum", "lr-AdamW"} <= set(events.Tags()["scalars"])


def test_no_logger_at_all(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny({"visual": "tests.rooms.Row"}), "--trainer.logger", "false").code == 0
    assert not (tmp_path / "experiments/tiny/event").exists()


def test_flatten() -> None:
    assert flatten({"a": {"b": [1, 2], "c": None}, "d": True}) == {"a.b": "[1, 2]", "a.c": "None", "d": True}

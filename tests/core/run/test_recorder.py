"""What a run records of itself in TensorBoard: curves, pictures, configuration and hyper-parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider  # type: ignore[import-untyped]
from tensorboard.backend.event_processing.plugin_event_multiplexer import (  # type: ignore[import-untyped]
    EventMultiplexer,
)
from tensorboard.context import RequestContext  # type: ignore[import-untyped]
from tensorboard.plugins.base_plugin import TBContext  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.api_pb2 import ListSessionGroupsRequest, Status  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.backend_context import Context  # type: ignore[import-untyped]
from tensorboard.plugins.hparams.list_session_groups import Handler  # type: ignore[import-untyped]

from project.core.tensorboard import DedupTensorBoardLogger, list_event_files, truncate_event_files
from tests.conftest import Cli
from tests.exactness import curves, read_events


@pytest.fixture
def events(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Any:
    """Return the events of a run that logs everything."""
    config = tiny(
        {
            "model": {
                "loss": {"aux": {"type": "tests.components.CrossEntropy", "weight": 0.5}},
                "groups": [{"match": "net.head.*", "lr": 0.5}],
            },
            "visual": {"type": "tests.components.Row"},
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
    return read_events(tmp_path / "experiments/tiny/event")


def test_tensorboard_has_curves_config_and_pictures(events: Any, tmp_path: Path) -> None:
    scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for split in ("train", "val"):
        assert {f"{split}/{name}" for name in ("cross_entropy", "aux", "sum", "accuracy")} <= scalars.keys()
    assert {"lr-AdamW/rest", "lr-AdamW/net.head.*"} <= scalars.keys()
    assert scalars["lr-AdamW/net.head.*"][0].value == 0.5
    assert [event.step for event in scalars["train/sum"]] == [2, 4, 6, 8, 10, 12]
    assert [event.step for event in scalars["val/sum"]] == [6, 12]
    for split in ("train", "val"):
        total, one, aux = (scalars[f"{split}/{name}"][0].value for name in ("sum", "cross_entropy", "aux"))
        assert total == pytest.approx(one + 0.5 * aux, rel=1e-5)
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert yaml.safe_load(config.removeprefix("```yaml\n").removesuffix("```"))["name"] == "tiny"
    assert len(events.Images("val/visual")) == len(events.Images("train/visual")) == 2
    assert (events.Images("val/visual")[0].width, events.Images("val/visual")[0].height) == (16, 8)
    for split in ("train", "val"):
        files = sorted(path.name for path in (tmp_path / f"experiments/tiny/progress/{split}").iterdir())
        assert files == ["epoch_0000_step_000006.png", "epoch_0001_step_000012.png"]


def hparams_table(root: Path) -> dict[str, tuple[dict[str, Any], dict[str, float], int]]:
    """Return the hyper-parameters, metrics and status of each run, as TensorBoard's table of all runs shows them."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(root)).Reload()
    data: Any = MultiplexerDataProvider(multiplexer, str(root))
    context = Context(TBContext(data_provider=data))
    metadata = context.hparams_metadata(RequestContext(), "")
    listed = context.hparams_from_data_provider(RequestContext(), "", None)
    experiment = context.experiment_from_metadata(RequestContext(), "", True, metadata, listed)
    request = ListSessionGroupsRequest(
        col_params=[{"hparam": info.name} for info in experiment.hparam_infos],
        allowed_statuses=[0, 1, 2, 3],
        slice_size=99,
    )
    found = Handler(RequestContext(), context, "", request).run().session_groups
    return {
        group.sessions[0].name.removesuffix("/event/hparams"): (
            {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()},
            {value.name.tag: value.value for value in group.sessions[0].metric_values},
            group.sessions[0].status,
        )
        for group in found
    }


def test_table_of_hyper_parameters_has_what_differs_and_the_final_metrics(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """A run that was resumed has one row, as if it had not stopped; one that failed has no metrics."""
    trainer = {"max_time": "12:00:00:00", "max_epochs": 2, "logger": [{"type": "CSVLogger"}]}
    config = tiny({"checkpoint": {"monitor": "val/accuracy", "mode": "max", "best": 2}, "trainer": trainer})
    more = ("--trainer.max_epochs", "3")
    assert cli("fit", "--config", config, "--name", "whole", *more).code == 0
    assert cli("fit", "--config", config, "--name", "resumed").code == 0
    assert cli("fit", "--resume", "experiments/resumed", *more).code == 0
    failing = ("--model.net", "tests.core.components.BrokenNet", "--model.compile", "false", "--seed", "3")
    assert cli("fit", "--config", config, "--name", "failed", *failing).code == 1

    table = hparams_table(tmp_path / "experiments")
    assert table.keys() == {"whole", "resumed", "failed"}
    expected = {
        **{"net": "tests.components.MLP", "net.in_features": 64, "net.num_classes": 10, "net.hidden": 8},
        **{"loss.cross_entropy": "tests.components.CrossEntropy", "metric.accuracy": "tests.components.Accuracy"},
        **{"metric.accuracy.num_classes": 10, "optimizer": "AdamW", "optimizer.lr": 0.01, "batch_size": 64},
        **dict.fromkeys(("train", "val", "eval"), "tests.components.Glyphs"),
        **{"train.split": "train", "val.split": "val", "eval.split": "test"},
        **{"checkpoint.monitor": "val/accuracy", "checkpoint.mode": "max", "checkpoint.best": 2},
        **{"max_epochs": 3, "limit_train_batches": 2, "num_sanity_val_steps": 0, "accelerator": "cpu"},
        **{"max_time": "12:00:00:00", "enable_model_summary": "false", "logger.0": "CSVLogger"},
    }
    for name in ("whole", "resumed"):
        values, metrics, status = table[name]
        assert values == expected
        points = {tag: [value for _, value in found] for tag, found in curves(tmp_path / "experiments" / name).items()}
        best = {"best/val/accuracy": pytest.approx(max(points["val/accuracy"]))}
        final = {f"final/val/{tag}": points[f"val/{tag}"][-1] for tag in ("accuracy", "cross_entropy", "sum")}
        assert metrics == final | best
        assert status == Status.Value("STATUS_SUCCESS")
    values, metrics, status = table["failed"]
    assert (values["net"], values["seed"], values["max_epochs"]) == ("tests.core.components.BrokenNet", 3, 2)
    assert (metrics, status) == ({}, Status.Value("STATUS_UNKNOWN"))


@pytest.mark.usefixtures("events")
def test_other_loggers_write_into_the_run_directory(tmp_path: Path) -> None:
    assert (tmp_path / "experiments/tiny/metrics.csv").is_file()


def test_logging_interval_is_at_most_the_number_of_batches(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0  # 2 batches; log_every_n_steps is 50
    assert [step for step, _ in curves(tmp_path / "experiments/tiny")["train/sum"]] == [2]


def test_accumulated_batches_are_logged(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--trainer.limit_train_batches", "4", "--trainer.accumulate_grad_batches", "4"]
    assert cli("fit", "--config", tiny(), *argv).code == 0
    assert {"train/sum", "lr-AdamW"} <= curves(tmp_path / "experiments/tiny").keys()


def test_run_without_logger_writes_no_events(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"visual": "tests.components.Row"}), "--trainer.logger", "false")
    assert ran.code == 0, ran.err
    assert not (tmp_path / "experiments/tiny/event").exists()


def test_logger_writes_a_repeated_point_once(tmp_path: Path) -> None:
    """Lightning logs a point at each of the accumulated batches; a changed value or step is a new point."""
    logger = DedupTensorBoardLogger(tmp_path, name="", version="event", default_hp_metric=False)
    for step, value in ((1, 2.0), (1, 2.0), (1, 3.0), (2, 3.0), (2, 3.0)):
        logger.log_metrics({"loss": value, "epoch": 0.0}, step)
    logger.save()
    assert curves(tmp_path) == {"loss": [(1, 2.0), (1, 3.0), (2, 3.0)]}


def test_event_files_are_truncated_to_their_sizes_and_new_ones_removed(tmp_path: Path) -> None:
    for name, content in {
        "events.out.tfevents.1": "abcdef",
        "events.out.tfevents.2": "new",
        "hparams.yaml": "x",
    }.items():
        (tmp_path / name).write_text(content)
    truncate_event_files(list_event_files(tmp_path), {"events.out.tfevents.1": 4, "events.out.tfevents.0": 9})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "events.out.tfevents.1": "abcd",
        "hparams.yaml": "x",
    }
    truncate_event_files(list_event_files(tmp_path), {"events.out.tfevents.1": 99})  # longer than the file is
    assert (tmp_path / "events.out.tfevents.1").read_text() == "abcd"

"""A resumed run continues the files of its loggers, and the runs of trackers; a run of a new name has its own."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers.logger import DummyLogger

from tests.conftest import Cli
from tests.core.run.fake_trackers import install
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves

SETTINGS: dict[str, Any] = RANDOM | {
    "trainer": RANDOM["trainer"]
    | {
        "val_check_interval": 3,
        "logger": [
            {"type": "CSVLogger"},
            {"type": "CSVLogger", "name": "more", "version": 1, "prefix": "my"},
            {"type": "tests.core.run.test_loggers.Counter"},
        ],
    }
}
FILES = ("metrics.csv", "more/version_1/metrics.csv")


class Counter(DummyLogger):
    """Logger that counts calls, and has a state and an argument that wandb has as well."""

    def __init__(self, resume: bool | None = None) -> None:
        super().__init__()
        assert resume is None
        self.count = 0

    def log_metrics(self, *_: Any, **__: Any) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES}


def count_in(run: Path) -> int:
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    return int(saved["run_header"]["loggers"]["Counter.0"]["count"])


def steps_in(file: Path) -> list[int]:
    with file.open() as lines:
        return [int(row["step"]) for row in csv.DictReader(lines)]


def test_files_and_states_of_a_run_resumed_twice_are_those_of_an_uninterrupted_run(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The first checkpoint is of a step after which a validation adds columns; a kill leaves part of a line."""
    assert cli("fit", "--config", tiny(SETTINGS)).code == 0
    run, uninterrupted = tmp_path / "experiments/tiny", tmp_path / "uninterrupted"
    shutil.copytree(run, uninterrupted)
    for number, checkpoint in enumerate(("epoch_0000_step_000003", "epoch_0001_step_000007"), start=1):
        with (run / FILES[0]).open("a") as file:
            file.write("1,0.0")
        before = contents(run)
        ran = cli("fit", "--resume", f"experiments/tiny/checkpoints/{checkpoint}.ckpt")
        assert ran.code == 0, ran.err
        assert "deleted" not in ran.err
        assert contents(run) == contents(uninterrupted)
        assert contents(run / f".old/resume{number}") == before
        assert count_in(run) == count_in(uninterrupted)
    assert sorted(path.name for path in run.rglob("metrics*.csv") if ".old" not in path.parts) == ["metrics.csv"] * 2


def test_run_of_a_new_name_and_tests_leave_the_file_of_the_old_run(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The new file has the steps after the checkpoint, as TensorBoard's has."""
    assert cli("fit", "--config", tiny(SETTINGS)).code == 0
    old, new = tmp_path / "experiments/tiny", tmp_path / "experiments/new"
    before = contents(old)
    ran = cli("fit", "--resume", "experiments/tiny/checkpoints/epoch_0001_step_000007.ckpt", "--name", "new")
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    assert contents(old) == before
    assert steps_in(new / "metrics.csv") == [8, 8, 9, 10]  # with the validation after step 8
    rows = (old / "metrics.csv").read_text().splitlines()[1:]
    assert (new / "metrics.csv").read_text().splitlines()[1:] == rows[-4:]


@pytest.mark.slow
def test_resume_of_an_older_checkpoint_keeps_the_rows_before_its_step(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Older checkpoints do not tell the number of rows, and older rows have the number of the step before."""
    config = tiny({"trainer": {"max_epochs": 2, "log_every_n_steps": 1, "logger": [{"type": "CSVLogger"}]}})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    checkpoint = run / "checkpoints/epoch_0000_step_000002.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    del content["run_header"]["loggers"]
    torch.save(content, checkpoint)
    (run / "metrics.csv").write_text("epoch,lr,step\n0,0.1,0\n0,0.1,1\n1,0.1,2\n")
    ran = cli("fit", "--resume", str(checkpoint))
    assert ran.code == 0, ran.err
    assert steps_in(run / "metrics.csv") == [0, 1, 2, 3, 4, 4]  # the validation after step 2 runs again


def test_file_elsewhere_is_of_one_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    logger = {"type": "CSVLogger", "save_dir": str(tmp_path / "logs")}
    config = tiny({"trainer": {"max_epochs": 1, "logger": [logger]}})
    assert cli("fit", "--config", config).code == 0
    file = tmp_path / "logs/metrics.csv"
    before = file.read_bytes()
    for argv in (["--config", config], ["--resume", "experiments/tiny", "--config", config]):
        ran = cli("fit", *argv, "--name", "other")
        message = f"error: trainer.logger: {file} already exists; remove it, or use another `save_dir`, `name` or"
        assert (ran.code, ran.err.splitlines()[-1].startswith(message)) == (2, True), ran.err
        assert not (tmp_path / "experiments/other").exists()
    assert file.read_bytes() == before
    ran = cli("fit", "--config", config, "--resume", "auto", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert file.read_bytes().startswith(before)
    assert steps_in(file)[-1] == 4


def test_trackers_continue_with_their_run_ids_and_a_new_name_gets_new_ones(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has its settings once, in MLflow only those of its first start, and the pictures of TensorBoard."""
    trackers = install(monkeypatch)
    loggers = [{"type": name} for name in trackers]
    config = tiny(
        {
            "visual": {"type": "tests.components.Row"},
            "trainer": {"log_every_n_steps": 1, "logger": [*loggers, {"type": "WandbLogger"}]},
        }
    )
    assert cli("fit", "--config", config).code == 0
    started = {"WandbLogger": ["run1", "run2"], "MLFlowLogger": ["run1"], "CometLogger": ["run1"]}
    assert {name: list(tracker.runs) for name, tracker in trackers.items()} == started
    before = (tmp_path / "experiments/tiny/config.yaml").read_text()
    assert "run1" not in before
    assert (trackers["WandbLogger"].names["run1"], trackers["MLFlowLogger"].names) == ("tiny", {"run1": "tiny"})
    settings = {name: tracker.settings for name, tracker in trackers.items()}
    rate = settings["WandbLogger"][0]["model"]["optimizer"]["lr"]
    assert settings["MLFlowLogger"][0]["model/optimizer/lr"] == str(rate)
    assert {name: tracker.pictures for name, tracker in trackers.items()} == {
        "WandbLogger": ["val/visual"] * 2,
        "MLFlowLogger": ["val/visual"],
        "CometLogger": [],
    }
    count = len(settings["MLFlowLogger"])

    more = ("--trainer.max_epochs", "2")
    for argv in (["--config", config, "--resume", "auto"], ["--resume", "experiments/tiny"]):
        ran = cli("fit", *argv, *more)
        assert ran.code == 0, ran.err
        assert {name: list(tracker.runs) for name, tracker in trackers.items()} == started
    for name, key in (("WandbLogger", "trainer/global_step"), ("MLFlowLogger", "step"), ("CometLogger", "step")):
        steps = {point[key] for point in trackers[name].runs["run1"]}
        assert steps == {1, 2, 3, 4}, name
    assert len(settings["MLFlowLogger"]) == count
    assert settings["WandbLogger"][-1]["trainer"]["max_epochs"] == 2

    ran = cli("fit", "--resume", "experiments/tiny", "--name", "new", "--trainer.max_epochs", "3")
    assert ran.code == 0, ran.err
    assert {name: len(tracker.runs) for name, tracker in trackers.items()} == {
        name: 2 * len(runs) for name, runs in started.items()
    }


@pytest.mark.slow
def test_run_id_that_the_user_gives_has_precedence(
    cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = install(monkeypatch)["WandbLogger"]
    config = tiny({"trainer": {"logger": [{"type": "WandbLogger", "id": "mine"}]}})
    assert cli("fit", "--config", config).code == 0
    argv = ("--trainer.max_epochs", "2", "--trainer.logger", "[{type: WandbLogger, id: other}]")
    assert cli("fit", "--config", config, "--resume", "auto", *argv).code == 0
    assert list(tracker.runs) == ["mine", "other"]


def test_lightnings_own_csv_logger_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny({"trainer": {"logger": [{"type": "pytorch_lightning.loggers.CSVLogger"}]}})
    ran = cli("fit", "--config", config)
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            "error: trainer.logger: CSVLogger deletes its file when a run is resumed",
            "Use `type: CSVLogger`, or derive from project.core.csv_logger.CSVLogger",
        ],
    )
    assert not (tmp_path / "experiments").exists()


def test_two_loggers_of_one_file_are_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"trainer": {"logger": [{"type": "CSVLogger"}, {"type": "CSVLogger"}]}}))
    file = tmp_path / "experiments/tiny/metrics.csv"
    message = f"error: trainer.logger: two CSVLoggers write {file}; set `name` of one of them"
    assert (ran.code, ran.err.splitlines()[-1:]) == (2, [message])
    assert not (tmp_path / "experiments").exists()


def test_tensorboard_logger_of_the_user_continues_its_curves(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """With its own name and no version, Lightning's would write to another directory at each resume."""
    logger = [{"type": "TensorBoardLogger", "log_graph": False}]
    config = tiny({"trainer": {"max_epochs": 2, "log_every_n_steps": 1, "logger": logger}})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    before = curves(run)
    assert [step for step, _ in before["train/sum"]] == [1, 2, 3, 4]
    assert "hp_metric" not in before
    ran = cli("fit", "--resume", "experiments/tiny/checkpoints/epoch_0000_step_000002.ckpt")
    assert ran.code == 0, ran.err
    assert curves(run) == before
    assert not (run / "lightning_logs").exists()

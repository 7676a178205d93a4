"""The run directory: what a run writes, and that no run is lost, overwritten or shared by two trainings."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
import yaml

from project import load
from project.core.errors import ConfigError
from project.core.run.run_directory import RunDirectory, belongs_to_job
from tests.conftest import CONFIGS, Cli


def make_run(root: Path, name: str = "x", weights: str = "weights") -> Path:
    """Make a directory that contains a run."""
    checkpoints = root / name / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    (checkpoints / "last.ckpt").write_text(weights)
    return root / name


def test_fit_writes_these_files(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"visual": {"type": "tests.components.Row"}}))
    assert ran.code == 0
    run = tmp_path / "experiments/tiny"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "config.yaml", "event", "job.sh", "log.txt", "progress",
    ]  # fmt: skip
    files = ["best.ckpt", "epoch_0000_step_000002.ckpt", "last.ckpt"]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == files
    assert [path.name for path in (run / "progress/val").iterdir()] == ["epoch_0000_step_000002.png"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["name"], config["model"]["net"]["hidden"]) == ("tiny", 8)
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["run_config"] == (run / "config.yaml").read_text()
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"} <= saved.keys()


def test_directory_with_a_run_is_not_free(tmp_path: Path) -> None:
    make_run(tmp_path)
    message = "already contains a run; use another --name, or --replace to move it to .*/.old$"
    with pytest.raises(ConfigError, match=message):
        RunDirectory(str(tmp_path), "x").check_free(replace=False)
    RunDirectory(str(tmp_path), "x").check_free(replace=True)
    RunDirectory(str(tmp_path), "y").check_free(replace=False)


def test_setting_replace_archives_the_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    make_run(tmp_path / "experiments", "tiny")
    assert cli("fit", "--config", tiny()).code == 2
    ran = cli("fit", "--config", tiny({"replace": True}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    archived = tmp_path / "experiments/.old/tiny.1"
    assert f"moved the previous run from {run} to {archived}" in ran.err
    assert (archived / "checkpoints/last.ckpt").read_text() == "weights"
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    assert (run / "checkpoints/last.ckpt").exists()


def test_replace_keeps_every_earlier_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    for number in (1, 2, 3):
        directory = RunDirectory(str(tmp_path), "x")
        directory.create(f"number: {number}\n", replace=True)
        make_run(tmp_path, weights=f"weights {number}")
        directory.release()
    archive = tmp_path / ".old"
    assert sorted(path.name for path in archive.iterdir()) == ["x.1", "x.2", "x.3"]
    assert (archive / "x.1/checkpoints/last.ckpt").read_text() == "weights"
    assert (archive / "x.3/checkpoints/last.ckpt").read_text() == "weights 2"
    assert (tmp_path / "x/config.yaml").read_text() == "number: 3\n"


def test_directory_without_checkpoint_is_archived_without_replace(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/log.txt").write_text("it failed")
    directory = RunDirectory(str(tmp_path), "x")
    directory.check_free(replace=False)
    directory.create("a: 1\n", replace=False)
    assert (tmp_path / ".old/x.1/log.txt").read_text() == "it failed"
    directory.release()


def test_undo_create_restores_the_archived_run(tmp_path: Path) -> None:
    make_run(tmp_path)
    directory = RunDirectory(str(tmp_path), "x")
    directory.create("a: 1\n", replace=True)
    directory.undo_create()
    directory.release()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["checkpoints", "last.ckpt"]


def test_undo_create_keeps_a_run_that_has_a_checkpoint(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path), "x")
    directory.create("a: 1\n", replace=True)
    make_run(tmp_path)
    directory.undo_create()
    directory.release()
    assert (tmp_path / "x/checkpoints/last.ckpt").exists()


def test_undo_create_removes_only_the_directories_that_it_created(tmp_path: Path) -> None:
    for root, remains in ((tmp_path, True), (tmp_path / "new/root", False)):
        directory = RunDirectory(str(root), "x")
        directory.create("a: 1\n", replace=False)
        directory.undo_create()
        directory.release()
        assert root.exists() is remains
    assert list(tmp_path.iterdir()) == []


def test_run_that_finished_after_the_check_is_not_moved(tmp_path: Path) -> None:
    late = RunDirectory(str(tmp_path), "x")
    late.check_free(replace=False)
    make_run(tmp_path)
    with pytest.raises(ConfigError, match="already contains a run"):
        late.create("a: 1\n", replace=False)
    assert (tmp_path / "x/checkpoints/last.ckpt").read_text() == "weights"


def test_two_trainings_cannot_use_one_directory(tmp_path: Path) -> None:
    first = RunDirectory(str(tmp_path), "x")
    first.create("a: 1\n", replace=True)
    second = RunDirectory(str(tmp_path), "x")
    message = f"^another process is training in {tmp_path / 'x'}; use a different --name$"
    with pytest.raises(ConfigError, match=message):
        second.create("a: 2\n", replace=True)
    with pytest.raises(ConfigError, match=message):
        second.lock()
    assert (tmp_path / "x/config.yaml").read_text() == "a: 1\n"
    first.release()
    second.create("a: 2\n", replace=True)
    second.release()


def hold_open(started: Event) -> None:
    started.set()
    time.sleep(30)


def test_worker_that_outlives_its_process_does_not_lock_the_directory(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path), "x")
    directory.create("a: 1\n", replace=True)
    context = multiprocessing.get_context("fork")
    started = context.Event()
    worker = context.Process(target=hold_open, args=(started,))
    worker.start()
    assert started.wait(10)
    directory.release()
    second = RunDirectory(str(tmp_path), "x")
    second.create("a: 2\n", replace=True)
    second.release()
    worker.kill()
    worker.join()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_invalid_directory_names_are_refused(name: str, tmp_path: Path) -> None:
    message = f"^name is '{name}'; it must be a directory name, without slashes or a leading dot$"
    with pytest.raises(ConfigError, match=message):
        RunDirectory(str(tmp_path), name)


def test_root_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"^root {tmp_path}/file/root cannot be created: "):
        RunDirectory(str(tmp_path / "file/root"), "x").create("a: 1\n", replace=False)


def test_run_belongs_to_every_job_that_saved_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    directory = RunDirectory(str(tmp_path), "x")
    directory.create("a: 1\n", replace=False)
    assert not belongs_to_job(tmp_path / "x", {"SLURM_JOB_ID": "7"})  # the job has saved no checkpoint
    checkpoint = make_run(tmp_path) / "checkpoints/last.ckpt"
    assert belongs_to_job(tmp_path / "x", {"SLURM_JOB_ID": "7"})
    assert not belongs_to_job(tmp_path / "x", {"SLURM_JOB_ID": "8"})
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    for _ in range(2):
        directory.rewind("a: 2\n", checkpoint, "epoch_0000_step_000002.ckpt", 2, {})
    directory.release()
    assert (tmp_path / "x/slurm.txt").read_text() == "7\n8\n"
    assert belongs_to_job(tmp_path / "x", {"SLURM_JOB_ID": "7"})
    assert belongs_to_job(tmp_path / "x", {"SLURM_JOB_ID": "8"})
    assert not belongs_to_job(tmp_path / "y", {"SLURM_JOB_ID": "8"})


def test_fast_dev_run_writes_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"visual": "tests.components.Row"}), "--trainer.fast_dev_run", "true")
    assert ran.code == 0, ran.err
    assert "trainer.fast_dev_run: nothing is saved" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.yaml", "tiny.yaml"]


def test_directory_of_a_failed_run_is_archived_by_the_next(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny()
    assert cli("fit", "--config", config, "--model.net", "tests.core.components.BrokenNet").code == 1
    assert cli("fit", "--config", config).code == 0
    assert (tmp_path / "experiments/.old/tiny.1/log.txt").exists()


def test_job_script_repeats_the_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    config = tiny({"seed": 5})
    (tmp_path / "cli.py").write_text((CONFIGS.parent / "cli.py").read_text())
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    with (tmp_path / "cli.py").open("a") as file:
        file.write("# changed\n")
    (tmp_path / "new.py").write_text("# a new file\n")
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert cli("fit", "--config", config).code == 0
    job = tmp_path / "experiments/tiny/job.sh"
    assert f"commit {commit} with the changes of git.diff" in job.read_text()
    diff = (tmp_path / "experiments/tiny/git.diff").read_text()
    assert "+# changed" in diff
    assert "+# a new file" in diff
    status = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert status.splitlines()[:1] == [" M cli.py"]  # the index has not changed
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CONFIGS.parent)}
    subprocess.run(["bash", str(job)], check=True, cwd="/", env=environment, capture_output=True)
    one, two = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "tiny_rerun"))
    assert all(torch.equal(one[name], two[name]) for name in one)

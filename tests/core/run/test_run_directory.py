"""The run directory: what a run writes, and that no run is lost, overwritten or shared by two trainings."""

import errno
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
from project.core.run import run_directory
from project.core.run.job_record import belongs_to_job
from project.core.run.run_directory import RunDirectory, is_run
from tests.conftest import CONFIGS, Cli

# What the engine writes begins with this, and has these keys.
CONFIG = (
    "name: x\nroot: experiments\nmodel:\n  type: SupervisedModule\ndata:\n  batch_size: 1\ntrainer:\n  devices: 1\n"
)


def make_run(root: Path, name: str = "x", weights: str = "weights") -> Path:
    """Make a directory that contains a run."""
    checkpoints = root / name / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    (checkpoints / "last.ckpt").write_text(weights)
    if not (root / name / "config.yaml").exists():
        (root / name / "config.yaml").write_text(CONFIG)
    return root / name


def names(directory: Path) -> list[str]:
    """Return the names in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def test_fit_writes_these_files(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"visual": {"type": "tests.components.Row"}}))
    assert ran.code == 0
    run = tmp_path / "experiments/tiny"
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints", "config.yaml", "environment.json", "event", "given.yaml", "job.sh", "lineage.json",
        "log.txt", "progress", "states.jsonl", "summary.json",
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
    message = "already contains a run; use another --name, --resume auto, or --replace to move it to .*/.old$"
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
        directory.create(f"{CONFIG}seed: {number}\n", replace=True)
        make_run(tmp_path, weights=f"weights {number}")
        directory.release()
    archive = tmp_path / ".old"
    assert sorted(path.name for path in archive.iterdir()) == ["x.1", "x.2", "x.3"]
    assert (archive / "x.1/checkpoints/last.ckpt").read_text() == "weights"
    assert (archive / "x.3/checkpoints/last.ckpt").read_text() == "weights 2"
    assert (tmp_path / "x/config.yaml").read_text() == f"{CONFIG}seed: 3\n"


def test_directory_without_checkpoint_is_archived_without_replace(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/config.yaml").write_text(CONFIG)
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
    found = sorted(path.name for path in (tmp_path / "x").rglob("*"))
    assert found == ["checkpoints", "config.yaml", "last.ckpt"]
    assert (tmp_path / "x/config.yaml").read_text() == CONFIG


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
    first.create(CONFIG, replace=True)
    second = RunDirectory(str(tmp_path), "x")
    message = f"^another process is training in {tmp_path / 'x'}; use a different --name$"
    with pytest.raises(ConfigError, match=message):
        second.create("a: 2\n", replace=True)
    with pytest.raises(ConfigError, match=message):
        second.lock()
    assert (tmp_path / "x/config.yaml").read_text() == CONFIG
    first.release()
    second.create("a: 2\n", replace=True)
    second.release()


def hold_open(started: Event) -> None:
    started.set()
    time.sleep(30)


def test_worker_that_outlives_its_process_does_not_lock_the_directory(tmp_path: Path) -> None:
    directory = RunDirectory(str(tmp_path), "x")
    directory.create(CONFIG, replace=True)
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


def write_huge_config(path: Path) -> None:
    with (path / "config.yaml").open("wb") as file:
        file.truncate(2**36)


def write_checkpoint(path: Path) -> None:
    (path / "checkpoints").mkdir()
    (path / "checkpoints/last.ckpt").touch()


BOMB = "a: &a [1]\n" + "".join(
    f"b{i}: &b{i} [*{f'b{i - 1}' if i else 'a'}, *{f'b{i - 1}' if i else 'a'}]\n" for i in range(99)
)
FOREIGN: dict[str, Callable[[Path], object]] = {
    "documents": lambda path: (path / "guide.md").write_text("text"),
    "subdirectory": lambda path: (path / "empty").mkdir(),
    "hidden file": lambda path: (path / ".git").write_text("gitdir: x"),
    "config of another program": lambda path: (path / "config.yaml").write_text("name: x\nmodel: y\n"),
    "keys within": lambda path: (path / "config.yaml").write_text(f"a:\n  {CONFIG.replace(chr(10), chr(10) + '  ')}"),
    "list": lambda path: (path / "config.yaml").write_text("- name\n- root\n- model\n- data\n- trainer\n"),
    "empty config": lambda path: (path / "config.yaml").touch(),
    "binary": lambda path: (path / "config.yaml").write_bytes(bytes(range(256)) * 100),
    "config is a directory": lambda path: (path / "config.yaml").mkdir(),
    "config is a named pipe": lambda path: os.mkfifo(path / "config.yaml"),
    "config is a broken link": lambda path: (path / "config.yaml").symlink_to("missing"),
    "config that takes forever to parse": lambda path: (path / "config.yaml").write_text(BOMB),
    "huge config": write_huge_config,
    "checkpoint without config": write_checkpoint,
    "log of another program": lambda path: (path / "output.txt").touch(),
    "directory named like a log": lambda path: (path / "slurm-1.out").mkdir(),
}


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_directory_that_is_no_run_is_neither_used_nor_moved(
    make: Callable[[Path], object], replace: bool, tmp_path: Path
) -> None:
    (tmp_path / "x").mkdir()
    make(tmp_path / "x")
    before = sorted(tmp_path.rglob("*"))
    directory = RunDirectory(str(tmp_path), "x")
    message = (
        rf"^{tmp_path}/x is not the directory of a run \(it has no config\.yaml of one\), so it is neither used nor"
    )
    with pytest.raises(ConfigError, match=message):
        directory.check_free(replace)
    with pytest.raises(ConfigError, match=message):
        directory.create(CONFIG, replace)
    directory.undo_create()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("missing")], ids=["file", "broken link"])
def test_what_is_no_directory_is_refused(make: Callable[[Path], None], replace: bool, tmp_path: Path) -> None:
    make(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"x is not the directory of a run"):
        RunDirectory(str(tmp_path), "x").create(CONFIG, replace)
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("argv", [[], ["--replace"], ["--replace", "--trainer.max_steps", "0"]])
def test_foreign_directory_is_refused_before_anything_is_built(
    argv: list[str], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"model": {"net": {"type": "tests.core.components.UnbuiltNet"}}})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/guide.md").write_text("text")
    before = sorted(tmp_path.rglob("*"))
    ran = cli("fit", "--config", config, "--root", ".", "--name", "docs", *argv)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {tmp_path}/docs is not the directory of a run")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("logs", [[], ["slurm-7.out", "slurm-7.err"]])
@pytest.mark.parametrize("linked", [True, False])
def test_empty_directory_and_one_with_logs_of_slurm_are_used_as_they_are(
    linked: bool, logs: list[str], tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere" if linked else tmp_path / "root/x"
    place.mkdir(parents=True)
    (tmp_path / "root").mkdir(exist_ok=True)
    if linked:
        (tmp_path / "root/x").symlink_to("../elsewhere")
    for log in logs:
        (place / log).touch()
    inode = place.stat().st_ino
    directory = RunDirectory(str(tmp_path / "root"), "x")
    directory.check_free(replace=False)
    directory.create(CONFIG, replace=False)
    (place / "event").mkdir()
    (place / "event/curve").touch()
    assert (place / "config.yaml").read_text() == CONFIG
    directory.undo_create()
    directory.release()
    assert names(place) == sorted(logs)  # nothing of the run, all that was there before
    assert (names(tmp_path / "root"), place.stat().st_ino) == (["x"], inode)


def test_link_to_a_run_is_not_moved(tmp_path: Path) -> None:
    """A relative link would lead elsewhere from ROOT/.old/."""
    make_run(tmp_path, "real")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/x").symlink_to("../real")
    for replace in (True, False):
        with pytest.raises(ConfigError, match=r"root/x is a symbolic link to a run, which is not moved; use another"):
            RunDirectory(str(tmp_path / "root"), "x").create(CONFIG, replace)
    assert names(tmp_path / "root") == ["x"]


def test_archive_may_be_a_link_and_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / ".old").symlink_to("archive")
    make_run(tmp_path)
    directory = RunDirectory(str(tmp_path), "x")
    directory.create(CONFIG, replace=True)
    directory.release()
    assert (tmp_path / "archive/x.1/checkpoints/last.ckpt").read_text() == "weights"
    (tmp_path / ".old").unlink()
    (tmp_path / ".old").touch()
    with pytest.raises(
        ConfigError, match=rf"^{tmp_path}/x cannot be moved to {tmp_path}/\.old: .*; use another --name$"
    ):
        RunDirectory(str(tmp_path), "x").create(CONFIG, replace=True)
    assert (tmp_path / "x/config.yaml").read_text() == CONFIG


def test_run_that_cannot_be_moved_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path)

    def rename(path: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(
        ConfigError, match=r"x cannot be moved to .*\.old: .*Invalid cross-device link; use another --name"
    ):
        RunDirectory(str(tmp_path), "x").create(CONFIG, replace=True)
    assert names(tmp_path) == ["x"]


def test_every_config_that_the_engine_writes_is_known(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Also of a run that was killed before its first checkpoint."""
    assert cli("fit", "--config", tiny(), "--model.net", "tests.core.components.BrokenNet").code == 1
    run = tmp_path / "experiments/tiny"
    assert is_run(run)
    RunDirectory(str(tmp_path / "experiments"), "tiny").check_free(replace=False)
    printed = cli("fit", "--config", tiny(), "--print_config").out
    (run / "config.yaml").write_text(printed)
    assert is_run(run)


def test_root_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"^the run directory {tmp_path}/file/root/x cannot be created: "):
        RunDirectory(str(tmp_path / "file/root"), "x").create("a: 1\n", replace=False)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("function", ["write_text", "write_job_script", "DirectoryLock"])
def test_directory_that_cannot_be_created_leaves_nothing(
    function: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk or without permission, also an earlier run is where it was."""
    make_run(tmp_path / "runs")
    (tmp_path / "other").mkdir()

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(run_directory, function, fail)
    for root, name in (("other/new", "x"), ("other", "x"), ("runs", "x")):
        before = sorted(tmp_path.rglob("*"))
        message = f"^the run directory {tmp_path}/{root}/{name} cannot be created: .*; use another --root$"
        with pytest.raises(ConfigError, match=message):
            RunDirectory(str(tmp_path / root), name).create("a: 1\n", replace=True)
        assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "runs/x/checkpoints/last.ckpt").read_text() == "weights"


@pytest.mark.parametrize("part", ["", "checkpoints"])
def test_run_in_a_read_only_directory_is_not_resumed(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: path != run / part)
    with pytest.raises(ConfigError, match=f"^{run / part} cannot be written to; resume under another --name and"):
        RunDirectory(str(tmp_path), "x").lock()


def test_config_of_a_resume_without_a_number_is_kept(tmp_path: Path) -> None:
    checkpoint = make_run(tmp_path) / "checkpoints/last.ckpt"
    for name in ("config.resume.yaml", "config.resumeX.yaml", "config.resume2.yaml", "config.resume²3.yaml"):
        (tmp_path / "x" / name).write_text("mine")
    (tmp_path / "x/.old/resume_notes").mkdir(parents=True)
    directory = RunDirectory(str(tmp_path), "x")
    directory.lock()
    directory.rewind("a: 2\n", checkpoint, "epoch_0000_step_000002.ckpt", 2, {})
    directory.release()
    assert (tmp_path / "x/config.resume3.yaml").read_text() == "a: 2\n"
    assert (tmp_path / "x/config.resume.yaml").read_text() == "mine"


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


def test_job_script_names_the_commit_and_its_changes(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "cli.py").write_text("# not changed\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    with (tmp_path / "cli.py").open("a") as file:
        file.write("# changed\n")
    (tmp_path / "new.py").write_text("# a new file\n")
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert cli("fit", "--config", tiny()).code == 0
    job = (tmp_path / "experiments/tiny/job.sh").read_text()
    assert f"commit {commit} with the changes of git.diff" in job
    diff = (tmp_path / "experiments/tiny/git.diff").read_text()
    assert "+# changed" in diff
    assert "+# a new file" in diff
    status = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert status.splitlines()[:1] == [" M cli.py"]  # the index has not changed


@pytest.mark.slow
def test_job_script_repeats_the_run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "cli.py").write_text((CONFIGS.parent / "cli.py").read_text())
    assert cli("fit", "--config", tiny({"seed": 5})).code == 0
    job = tmp_path / "experiments/tiny/job.sh"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CONFIGS.parent)}
    subprocess.run(["bash", str(job)], check=True, cwd="/", env=environment, capture_output=True)
    one, two = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "tiny_rerun"))
    assert all(torch.equal(one[name], two[name]) for name in one)

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from project import load
from project.core.errors import ConfigError
from project.core.run_folder import RunFolder
from tests.conftest import CONFIGS, Cli


def finished(root: Path, name: str = "x") -> Path:
    """A folder that holds a run."""
    checkpoints = root / name / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "last.ckpt").write_text("weights")
    return root / name


def test_what_a_run_leaves(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny({"visual": {"type": "tests.rooms.Row"}}))
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


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(ConfigError, match="holds a run already"):
        RunFolder(str(tmp_path), "x").refuse_if_taken(replace=False)
    RunFolder(str(tmp_path), "x").refuse_if_taken(replace=True)
    RunFolder(str(tmp_path), "y").refuse_if_taken(replace=False)


def test_replace_by_the_yaml(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    finished(tmp_path / "experiments", "tiny")
    assert cli("fit", "--config", tiny()).code == 2
    ran = cli("fit", "--config", tiny({"replace": True}))
    assert ran.code == 0, ran.err
    assert (tmp_path / "experiments/.old/tiny.1/checkpoints/last.ckpt").read_text() == "weights"
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    assert (tmp_path / "experiments/tiny/checkpoints/last.ckpt").exists()


def test_replace_loses_nothing(tmp_path: Path) -> None:
    finished(tmp_path)
    for number in (1, 2, 3):
        folder = RunFolder(str(tmp_path), "x")
        folder.claim(f"number: {number}\n", replace=True)
        finished_again = tmp_path / "x/checkpoints"
        finished_again.mkdir()
        (finished_again / "last.ckpt").write_text(f"weights {number}")
        folder.release()
    shelf = tmp_path / ".old"
    assert sorted(path.name for path in shelf.iterdir()) == ["x.1", "x.2", "x.3"]
    assert (shelf / "x.1/checkpoints/last.ckpt").read_text() == "weights"
    assert (shelf / "x.3/checkpoints/last.ckpt").read_text() == "weights 2"
    assert (tmp_path / "x/config.yaml").read_text() == "number: 3\n"


def test_a_folder_without_a_checkpoint_may_be_taken_over(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/log.txt").write_text("it failed")
    folder = RunFolder(str(tmp_path), "x")
    folder.refuse_if_taken(replace=False)
    folder.claim("a: 1\n", replace=True)
    assert (tmp_path / ".old/x.1/log.txt").read_text() == "it failed"
    folder.release()


def test_discard_takes_a_claim_back(tmp_path: Path) -> None:
    finished(tmp_path)
    folder = RunFolder(str(tmp_path), "x")
    folder.claim("a: 1\n", replace=True)
    folder.discard()
    folder.release()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert [path.name for path in (tmp_path / "x").rglob("*")] == ["checkpoints", "last.ckpt"]


def test_discard_keeps_a_run_that_has_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "x")
    folder.claim("a: 1\n", replace=True)
    (tmp_path / "x/checkpoints").mkdir()
    (tmp_path / "x/checkpoints/last.ckpt").write_text("weights")
    folder.discard()
    folder.release()
    assert (tmp_path / "x/checkpoints/last.ckpt").exists()


def test_a_run_that_was_finished_meanwhile_is_not_moved(tmp_path: Path) -> None:
    late = RunFolder(str(tmp_path), "x")
    late.refuse_if_taken(replace=False)
    finished(tmp_path)
    with pytest.raises(ConfigError, match="holds a run already"):
        late.claim("a: 1\n", replace=False)
    assert (tmp_path / "x/checkpoints/last.ckpt").read_text() == "weights"


def test_discard_leaves_a_root_that_was_there(tmp_path: Path) -> None:
    for root, stays in ((tmp_path, True), (tmp_path / "deep/er", False)):
        folder = RunFolder(str(root), "x")
        folder.claim("a: 1\n", replace=False)
        folder.discard()
        folder.release()
        assert root.exists() is stays
    assert list(tmp_path.iterdir()) == []


def test_two_trainings_cannot_write_one_folder(tmp_path: Path) -> None:
    first = RunFolder(str(tmp_path), "x")
    first.claim("a: 1\n", replace=True)
    second = RunFolder(str(tmp_path), "x")
    with pytest.raises(ConfigError, match="is being written by a run that goes on"):
        second.claim("a: 2\n", replace=True)
    assert (tmp_path / "x/config.yaml").read_text() == "a: 1\n"
    first.release()
    second.claim("a: 2\n", replace=True)
    second.release()


def test_a_worker_does_not_hold_the_folder(tmp_path: Path) -> None:
    """One that outlives a process that was killed."""
    folder = RunFolder(str(tmp_path), "x")
    folder.claim("a: 1\n", replace=True)
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    worker = context.Process(target=lambda: (begun.set(), time.sleep(30)))
    worker.start()
    assert begun.wait(10)
    folder.release()
    second = RunFolder(str(tmp_path), "x")
    second.claim("a: 2\n", replace=True)
    second.release()
    worker.kill()
    worker.join()


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden"])
def test_names_that_are_no_folders(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be the name of a folder"):
        RunFolder(str(tmp_path), name)


def test_fast_dev_run_leaves_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny({"visual": "tests.rooms.Row"}), "--trainer.fast_dev_run", "true").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.yaml", "tiny.yaml"]


def test_an_exception_leaves_the_folder_for_the_next_try(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny()
    assert cli("fit", "--config", config, "--model.net", "tests.core.rooms.BrokenNet").code == 1
    assert cli("fit", "--config", config).code == 0
    assert (tmp_path / "experiments/.old/tiny.1/log.txt").exists()


def test_job_runs_the_same_again(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
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
    difference = (tmp_path / "experiments/tiny/git.diff").read_text()
    assert "+# changed" in difference
    assert "+# a new file" in difference
    status = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True, text=True).stdout
    assert status.splitlines()[:1] == [" M cli.py"]  # the index is as it was
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(CONFIGS.parent)}
    subprocess.run(["bash", str(job)], check=True, cwd="/", env=environment, capture_output=True)
    one, two = (load(tmp_path / "experiments" / name).state_dict() for name in ("tiny", "tiny_rerun"))
    assert all(torch.equal(one[name], two[name]) for name in one)

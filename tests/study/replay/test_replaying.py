"""Replays of runs that were resumed, forked, moved, damaged or are running; what they refuse, and what they leave."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from loguru import logger
from pytorch_lightning import Callback

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import load_checkpoint
from project.study.replay import stretches
from project.study.replay.logged import compare_logged, proof_step
from project.study.replay.replaying import replay_steps
from tests.conftest import CONFIGS, TINY, Cli, slow_except
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import differing
from tests.study.replay.test_kinds import checkpoint_of, files_of, replay_is_exact, trained_state

Train = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that a replay leaves no file in the temporary directory, no process, no thread and no setting."""
    scratch = Path(tempfile.mkdtemp())  # `tmp_path` may be too long for sockets of workers
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    threads, count = {*threading.enumerate()}, torch.get_num_threads()
    yield
    left = [path.name for path in scratch.iterdir() if path.name.startswith("replay.")]
    shutil.rmtree(scratch, ignore_errors=True)
    assert left == []
    assert [each for each in multiprocessing.active_children() if each.is_alive()] == []
    found = [each.name for each in threading.enumerate() if each not in threads and not each.daemon]
    assert [name for name in found if not name.startswith("checkpoint")] == []  # those of the trainings
    assert torch.get_num_threads() == count


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the place of the run that tests without settings of their own copy."""
    return tmp_path_factory.mktemp("replaying") / "tiny"


@pytest.fixture
def run(train: Train, trained: Path, tmp_path: Path) -> Path:
    """Return the directory of a run of 10 steps, all of which are saved."""
    run = tmp_path / "experiments/tiny"
    if trained.exists():
        return shutil.copytree(trained, run)
    train()
    shutil.copytree(run, trained)
    return run


@pytest.fixture
def train(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Train:
    """Return a function that trains and returns the run directory."""

    def run(over: dict[str, Any] | None = None, *argv: str) -> Path:
        config, more = tiny(RANDOM), tiny({"base": []} | (over or {}), "over.yaml")
        ran = cli("fit", "--config", config, "--config", more, *argv)
        assert ran.code == 0, ran.err
        return tmp_path / "experiments/tiny"

    return run


def keep_only(run: Path, *steps: int) -> None:
    """Remove the checkpoints of all other steps."""
    kept = [checkpoint_of(run, step) for step in steps]
    for path in (run / "checkpoints").iterdir():
        if not any(path.samefile(each) for each in kept):
            path.unlink()


@pytest.mark.slow
def test_resumes_with_changed_settings_are_stretches(train: Train, cli: Cli) -> None:
    """A learning rate from step 4 on, another batch of changes from 7 on; the second resume changes nothing."""
    run = train({"checkpoint": {"keep": -1}})
    for step, argv in ((4, ["--model.optimizer.lr", "0.02"]), (6, []), (8, ["--model.clip.value", "0.5"])):
        ran = cli("fit", "--resume", str(checkpoint_of(run, step)), *argv)
        assert ran.code == 0, ran.err
    found = stretches.find_stretches(run, 10, 10)
    assert [(each.first, each.last) for each in found] == [(9, 10)]
    keep_only(run, 2, 10)
    found = stretches.find_stretches(run, 10, 10)
    assert [(each.first, each.last) for each in found] == [(2, 4), (4, 8), (8, 10)]
    assert replay_is_exact(run, 10)[0] == 8
    keep_only(run, 10)
    assert replay_is_exact(run, 10)[0] == 10


def test_fork_goes_back_to_its_origin(run: Path, cli: Cli, tmp_path: Path) -> None:
    """Where its checkpoint is gone, the origin is trained again; steps before it are the origin's."""
    ran = cli("fit", "--resume", str(checkpoint_of(run, 5)), "--name", "fork", "--model.optimizer.lr", "0.02")
    assert ran.code == 0, ran.err
    fork = tmp_path / "experiments/fork"
    keep_only(fork, 10)
    assert replay_is_exact(fork, 10)[0] == 5
    keep_only(run, 3, 10)
    assert replay_is_exact(fork, 10)[0] == 7
    with pytest.raises(ConfigError, match=rf"^step 5 was trained by {run}.*\n.*cli.py replay {run} --step 5$"):
        replay_steps(fork, 5, 5)
    shutil.rmtree(run)
    with pytest.raises(ConfigError, match="which is gone, as is the run that saved it"):
        replay_steps(fork, 10, 10)


@pytest.mark.slow
def test_weights_that_a_run_started_with_are_loaded_again(run: Path, cli: Cli, tmp_path: Path) -> None:
    for name, argv in (
        ("finetuned", ["--finetune", str(run), "--finetune.skip", '["net.layers.5.*"]']),
        ("pretrained", ["--model.pretrained.path", str(run)]),
    ):
        ran = cli("fit", "--config", "tiny.yaml", "--name", name, "--trainer.max_epochs", "1", *argv)
        assert ran.code == 0, ran.err
        keep_only(tmp_path / "experiments" / name, 5)
        assert replay_is_exact(tmp_path / "experiments" / name, 5)[0] == 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_except(["callback", "net", "sanity"], "net"))
def test_validations_that_change_the_training_are_repeated(kind: str, train: Train) -> None:
    """By a callback with a state, or by the net itself; also the sanity validation before the first step."""
    over: dict[str, Any] = {"trainer": {"callbacks": [{"type": "tests.study.replay.components.Counting"}]}}
    if kind != "callback":
        over = {"model": {"net": {"type": "tests.study.replay.components.Remembering"}}}
    if kind == "sanity":
        over["trainer"] = {"num_sanity_val_steps": 2}
    run = train(over)
    keep_only(run, 3, 10)
    replayed = replay_steps(run, 10, 10)
    assert replayed.validated
    assert (compare_logged(run, replayed).differing, compare_logged(run, replayed).only_run) == ([], [])
    keep_only(run, 10)
    assert replay_is_exact(run, 10)[0] == 10


@pytest.mark.slow
def test_what_only_looks_does_not_run(train: Train, tmp_path: Path) -> None:
    """Time limits, profilers, trackers and checkpoints of the user's own; validations that change nothing."""
    own = {"type": "ModelCheckpoint", "dirpath": "own", "every_n_train_steps": 1, "save_top_k": -1}
    over = {"trainer": {"max_time": "00:00:10:00", "profiler": "simple", "callbacks": [own, {"type": "Timer"}]}}
    run = train(over)
    text = (run / "config.yaml").read_text()
    tree = yaml.safe_load(text)
    tree["trainer"] |= {"max_time": "00:00:00:00", "logger": [{"type": "WandbLogger", "project": "none"}]}
    (run / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    keep_only(run, 3, 10)
    before = files_of(tmp_path / "own")
    with pytest.raises(ConfigError, match="names 'own', a path to write to"):
        replay_steps(run, 10, 10)
    replayed = replay_steps(run, 10, 10, trust=True)
    assert compare_logged(run, replayed).differing == []
    assert not replayed.validated
    assert compare_logged(run, replayed).only_run != []
    assert files_of(tmp_path / "own") == before
    assert not (tmp_path / "wandb").exists()


@pytest.mark.slow
def test_run_without_logger_is_unproven(train: Train) -> None:
    run = train({"trainer": {"logger": False}})
    replayed = replay_steps(run, 7, 7, states=[7])
    saved = torch.load(checkpoint_of(run, 7), weights_only=True)
    assert differing(trained_state(replayed.states[7]), trained_state(saved)) == []
    assert compare_logged(run, replayed).verdict == "unproven"
    assert proof_step(run, 3, 7) is None


@pytest.mark.slow
def test_next_logged_step_proves_those_before(train: Train) -> None:
    """Where values were logged at each third step."""
    run = train({"trainer": {"log_every_n_steps": 3}})
    found = [proof_step(run, start, last) for start, last in ((3, 4), (3, 6), (4, 8), (6, 7), (9, 10))]
    assert found == [6, 6, 8, 9, None]
    replayed = replay_steps(run, 4, 6)
    assert compare_logged(run, replayed).verdict == "equal"


def test_damaged_and_vanished_checkpoints_are_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on removes checkpoints between listing and loading, and adds others."""
    keep_only(run, 2, 5, 8, 10)
    checkpoint_of(run, 8).write_bytes(b"damaged")
    assert replay_steps(run, 10, 10).first == 5
    hidden = checkpoint_of(run, 5)

    def remove_first(path: Path) -> Any:
        if path == hidden and path.exists():
            path.rename(path.with_name("epoch_0001_step_000007.ckpt"))
        return load_checkpoint(path)

    monkeypatch.setattr(stretches, "load_checkpoint", remove_first)
    assert stretches.find_stretches(run, 10, 10)[0].checkpoint is not None
    assert stretches.find_stretches(run, 10, 10)[0].first == 5


@pytest.mark.slow
def test_moved_run_is_replayed_where_it_is(run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere/.old/tiny 2026"
    moved.parent.mkdir(parents=True)
    run.rename(moved)
    assert replay_is_exact(moved, 10)[0] == 1
    keep_only(moved, 10)
    assert replay_is_exact(moved, 10)[0] == 10
    assert not run.exists()


def test_mistakes_have_messages(run: Path, tmp_path: Path) -> None:
    cases = {
        (run, 11): rf"^the run in {run} ended after step 10; it has no step 11$",
        (run, 0): "^a run has no steps 0 to 0; the first step is 1$",
        (tmp_path, 1): f"^{tmp_path} is not the directory of a run",
        (tmp_path / "none", 1): "none does not exist$",
    }
    for (directory, step), message in cases.items():
        with pytest.raises(ConfigError, match=message):
            replay_steps(directory, step, step)
    with pytest.raises(ConfigError, match=r"^the run was trained on a GPU, which this machine does not have; add"):
        replay_steps(run, 3, 3, changes=[{"trainer": {"accelerator": "gpu"}}])
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("tests.core.random_components.Dropped", "os.path.Dropped"))
    keep_only(run, 10)
    with pytest.raises(ConfigError, match=r"names 'os.path.Dropped', which is not a registered model"):
        replay_steps(run, 3, 3)


def test_threads_are_those_of_the_run_and_differences_are_told(run: Path) -> None:
    file = run / "environment.json"
    text = file.read_text()
    count = torch.get_num_threads()
    assert f'"torch": {count},' in text
    text = text.replace(f'"torch": {count},', f'"torch": {count + 1},')
    file.write_text(text.replace(f'"torch": "{torch.__version__}"', '"torch": "1.0"'))
    used: list[int] = []

    class Threads(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            used.append(torch.get_num_threads())

    messages: list[str] = []
    sink = logger.add(messages.append, format="{message}")
    replayed = replay_steps(run, 10, 10, [Threads()])
    logger.remove(sink)
    assert used == [count + 1]
    assert replayed.warnings[0].startswith(f"values may differ by rounding: torch was 1.0 and is {torch.__version__}")
    assert f"{replayed.warnings[0]}\n" in messages


def test_ctrl_c_ends_a_replay_and_its_workers(run: Path) -> None:
    class Interrupting(Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise KeyboardInterrupt

    before = files_of(run)
    with pytest.raises(KeyboardInterrupt):
        replay_steps(run, 9, 10, [Interrupting()], changes=[{"data": {"num_workers": 1}}])
    assert files_of(run) == before


SCRIPT = """
import json, os, sys
from pathlib import Path
import project.core.config.trust as trust
from project.study.replay.logged import compare_logged
from project.study.replay.replaying import replay_steps
trust._PACKAGES = (*trust._PACKAGES, "tests")
run, last = Path(sys.argv[1]), int(sys.argv[2])
replayed = replay_steps(run, last, last, states=[last])
compared = compare_logged(run, replayed)
if os.environ.get("LOCAL_RANK", "0") == "0":
    import torch
    torch.save(replayed.states[last], "state.pt")
    numbers = [[stretch.first, stretch.last] for stretch in replayed.stretches]
    print(json.dumps([numbers, compared.compared, compared.differing]))
"""


@pytest.mark.slow
def test_replay_of_two_processes_is_exact(tiny: Callable[..., str], tmp_path: Path) -> None:
    """By a command that is repeated for each process; with a stretch that goes on from the state of another."""
    config = tiny(RANDOM | {"trainer": RANDOM["trainer"] | {"strategy": "ddp", "devices": 2}})
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = os.environ | {"PYTHONPATH": str(CONFIGS.parent), "TMPDIR": str(scratch)}

    def call(*argv: str) -> str:
        arguments: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "timeout": 300}
        done = subprocess.run([sys.executable, *argv], cwd=tmp_path, env=environment, **arguments)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    run, command = tmp_path / "experiments/tiny", str(CONFIGS.parent / "cli.py")
    call(command, "fit", "--config", config)
    resumed = ["--resume", str(checkpoint_of(run, 4)), "--model.optimizer.lr", "0.02", "--config", config]
    call(command, "fit", *resumed)
    keep_only(run, 2, 10)
    before = files_of(run)
    (tmp_path / "script.py").write_text(SCRIPT)
    numbers, compared, different = json.loads(call("script.py", str(run), "10").splitlines()[-1])
    assert (numbers, different) == ([[2, 4], [4, 10]], [])
    assert compared > 20
    own = torch.load(tmp_path / "state.pt", weights_only=True)
    saved = torch.load(checkpoint_of(run, 10), weights_only=True)
    assert differing(trained_state(own), trained_state(saved)) == []
    assert files_of(run) == before
    assert [path.name for path in scratch.iterdir() if path.name.startswith("replay.")] == []


@pytest.mark.slow
def test_data_that_a_resume_reads_from_its_start(cli: Cli, tmp_path: Path) -> None:
    """A replay starts at ends of epochs, or where the run was resumed, which it repeats."""
    file = tmp_path / "own.yaml"
    data = {"type": "tests.core.components.TwoLoaders", "sizes": [8, 8], "batch_size": 2}
    tree = TINY | {"data": data, "checkpoint": RANDOM["checkpoint"], "name": "own"}
    tree |= {"root": str(tmp_path / "experiments"), "trainer": TINY["trainer"] | RANDOM["trainer"]}
    file.write_text(yaml.safe_dump(tree))
    assert cli("fit", "--config", str(file)).code == 0
    run = tmp_path / "experiments/own"
    assert [stretches.find_stretches(run, step, step)[0].first for step in (3, 5, 7)] == [0, 4, 4]
    assert replay_is_exact(run, 7)[0] == 3
    assert cli("fit", "--resume", str(checkpoint_of(run, 6))).code == 0
    assert [each.first for each in stretches.find_stretches(run, 7, 7)] == [6]
    assert replay_is_exact(run, 8)[0] == 2

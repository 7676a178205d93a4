"""Resuming a run with `--resume`, and starting one from the weights of another with `--finetune`."""

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from project import load
from project.core.config.yaml_files import Tree
from project.core.errors import ConfigError
from project.core.run.checkpoint_files import load_resumable
from tests.conftest import TINY, Cli, slow_except
from tests.exactness import differing, outcome

STEPS = {"checkpoint": {"every_n_steps": 1, "keep": -1}, "trainer": {"limit_train_batches": 4, "max_epochs": 2}}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory in which the first test that needs a run keeps it for the others."""
    return tmp_path_factory.mktemp("resume") / "experiments"


@pytest.fixture
def run(request: pytest.FixtureRequest, cli: Cli, tiny: Callable[..., str], tmp_path: Path, trained: Path) -> Path:
    """Return a copy of the directory of a finished run of 8 steps, all of which are saved."""
    if "short_names" in request.fixturenames:  # its config names the same classes differently
        trained = tmp_path / "short/experiments"
        trained.parent.mkdir()
    config = tiny(STEPS)
    if not trained.exists():
        ran = cli("fit", "--config", config)
        assert ran.code == 0, ran.err
        (tmp_path / "experiments").rename(trained)
    subprocess.run(["cp", "-a", str(trained), str(tmp_path)], check=True)  # keeps hard links
    return tmp_path / "experiments/tiny"


def damage(path: Path, how: str) -> None:
    """Damage a checkpoint: its second half is missing, it is empty, or one bit of a tensor is wrong."""
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        largest = max(zipfile.ZipFile(path).infolist(), key=lambda record: record.file_size)
        content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", slow_except(["truncated", "empty", "one bit"], "empty", "one bit"))
def test_damaged_checkpoint_is_skipped(how: str, run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    uninterrupted = outcome(run)
    damage(run / "checkpoints/last.ckpt", how)  # the same file as epoch_0001_step_000008.ckpt
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "last.ckpt cannot be read: it is damaged" in ran.err
    assert ran.err.count("; trying the previous checkpoint") == 1
    assert differing(uninterrupted, outcome(run)) == []
    assert (run / ".old/resume1/epoch_0001_step_000008.ckpt").exists()  # the damaged file is kept
    with pytest.raises(ConfigError, match="it is damaged"):
        load_resumable(run / ".old/resume1/epoch_0001_step_000008.ckpt")


def test_run_with_only_damaged_checkpoints_is_refused_and_not_changed(
    run: Path, cli: Cli, tiny: Callable[..., str]
) -> None:
    before = sorted(run.rglob("*"))
    for path in (run / "checkpoints").iterdir():
        damage(path, "truncated")
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: experiments/tiny contains no checkpoint that a run can be resumed from",
    )
    assert sorted(run.rglob("*")) == before


def test_last_checkpoint_is_resumed_else_the_newest_step(run: Path) -> None:
    directory = run / "checkpoints"
    assert load_resumable(run).path.name == "last.ckpt"
    (directory / "last.ckpt").unlink()
    assert load_resumable(directory).path.name == "epoch_0001_step_000008.ckpt"
    for path in directory.glob("epoch_0001*"):
        path.unlink()
    assert load_resumable(run).path.name == "epoch_0000_step_000004.ckpt"


def test_auto_starts_a_new_run_if_there_is_none(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "experiments/tiny contains no run to resume; starting a new one" in ran.err
    assert not (tmp_path / "experiments/tiny/config.resume1.yaml").exists()


def test_saved_config_beats_yaml_files_and_options_beat_the_saved_config(
    run: Path, cli: Cli, tiny: Callable[..., str]
) -> None:
    edited = tiny(STEPS | {"model": {"net": {"hidden": 99}, "loss": {"l1": {"type": "torch.nn.L1Loss"}}}})
    ran = cli("fit", "--config", edited, "--resume", "auto", "--trainer.max_epochs", "3", "--model.optimizer.lr", "0.5")
    assert ran.code == 0, ran.err
    config = yaml.safe_load((run / "config.resume1.yaml").read_text())
    assert (config["model"]["net"]["hidden"], config["trainer"]["max_epochs"]) == (8, 3)
    assert list(config["model"]["loss"]) == ["cross_entropy"]
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    ignored = "--resume uses the config saved in the checkpoint; ignored changes in the yaml files: "
    assert f"{ignored}model.net.hidden is 99, was 8" in ran.err
    assert "model.loss.l1.type is 'L1Loss', was not set" in ran.err
    changed = "model.optimizer.lr is 0.5, was 0.01; trainer.max_epochs is 3, was 2"
    assert f"resuming with changed settings: {changed}" in ran.err
    applied = "changed settings of AdamW: lr is 0.5, was 0.01; the next learning rate is 0.5 instead of 0.01\n"
    assert ran.err.count(applied) == 1
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 12
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == 0.5
    assert "max_epochs: 3" in saved["run_config"]


@pytest.mark.parametrize(
    ("path", "argv"),
    [
        ("model.optimizer.type", ["--model.optimizer", "SGD"]),
        ("model.scheduler.type", ["--model.scheduler", "Poly"]),
        ("`match` and `freeze` in model.groups", ["--model.groups", "[{match: net.*}]"]),
    ],
)
def test_change_that_the_saved_state_does_not_fit_is_refused(path: str, argv: list[str], run: Path, cli: Cli) -> None:
    before = sorted(run.rglob("*"))
    ran = cli("fit", "--resume", str(run), *argv)
    assert ran.code == 2
    assert ran.err == f"error: --resume cannot change {path}; use --finetune to start a new run\n"
    ran = cli("fit", "--resume", str(run), "--model.net.hidden", "9")
    assert ran.code == 2
    assert "does not fit this model" in ran.err
    assert sorted(run.rglob("*")) == before


def test_option_that_repeats_a_saved_value_is_no_change(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    argv = ["--model.optimizer.lr", "1e-2", "--model.net", "tests.components.MLP"]
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto", *argv)
    assert ran.code == 0, ran.err
    assert "changed settings" not in ran.err
    assert "ignored changes" not in ran.err


@pytest.mark.usefixtures("short_names")
def test_yaml_file_that_is_no_longer_valid_is_a_warning(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(STEPS | {"model": {"net": {"type": "Gone"}}}), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "the yaml files are not valid: model.net: no model is called 'Gone'" in ran.err


def test_moved_run_is_resumed_where_it_is(run: Path, cli: Cli, tmp_path: Path) -> None:
    shutil.move(run, tmp_path / "elsewhere/moved")
    ran = cli("fit", "--resume", "elsewhere/moved", "--trainer.max_epochs", "3")
    assert ran.code == 0, ran.err
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == []
    saved = torch.load(tmp_path / "elsewhere/moved/checkpoints/last.ckpt", weights_only=True)
    assert saved["epoch"] == 2
    assert yaml.safe_load(saved["run_config"])["name"] == "moved"


def test_resume_under_another_name_starts_a_new_directory(run: Path, cli: Cli, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    uninterrupted = outcome(run)
    ran = cli("fit", "--resume", str(run / "checkpoints/epoch_0000_step_000003.ckpt"), "--name", "branch")
    assert ran.code == 0, ran.err
    branch = tmp_path / "experiments/branch"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(path.startswith(".curves") for path in differing(uninterrupted, outcome(branch)))
    assert (branch / "config.yaml").exists()
    assert (branch / "checkpoints/best.ckpt").exists()
    assert cli("fit", "--resume", "experiments/branch").code == 0
    ran = cli("fit", "--resume", str(run), "--name", "branch")
    assert (ran.code, ran.err.count("already contains a run")) == (2, 1)


def test_run_started_from_a_copied_checkpoint_keeps_it_as_the_best(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The learning rate ruins the net after the first epoch, so that no later checkpoint is better."""
    optimizer = {"optimizer": {"type": "SGD", "lr": 1.0}, "scheduler": {"type": "ExponentialLR", "gamma": 1e9}}
    trainer = {"max_epochs": 3, "limit_train_batches": 8}
    monitor = {"monitor": "val/accuracy", "mode": "max"}
    assert cli("fit", "--config", tiny({"model": optimizer, "trainer": trainer, "checkpoint": monitor})).code == 0
    shutil.copy(tmp_path / "experiments/tiny/checkpoints/best.ckpt", tmp_path / "copied.ckpt")
    ran = cli("fit", "--resume", "copied.ckpt", "--name", "branch")
    assert ran.code == 0, ran.err
    branch = tmp_path / "experiments/branch"
    steps = [
        torch.load(branch / f"checkpoints/{name}.ckpt", weights_only=True)["global_step"] for name in ("best", "last")
    ]
    assert steps == [8, 24]
    assert f"--resume {tmp_path}/copied.ckpt " in (branch / "job.sh").read_text()


def test_mistake_found_while_starting_changes_nothing(run: Path, cli: Cli, tmp_path: Path) -> None:
    """That there are too few samples for a batch is found when the loader is built."""
    early = str(run / "checkpoints/epoch_0000_step_000003.ckpt")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    for argv in ((early,), (str(run),), (early, "--name", "branch")):
        ran = cli("fit", "--resume", *argv, "--data.batch_size", "5000")
        assert (ran.code, ran.err.count("not one whole batch")) == (2, 1)
        for path, content in before.items():
            assert path.read_bytes() == content
        assert not list(run.glob("config.resume*"))
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


def test_copied_checkpoint_does_not_overwrite_its_run(run: Path, cli: Cli, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/epoch_0000_step_000003.ckpt", tmp_path / "copied.ckpt")
    ran = cli("fit", "--resume", "copied.ckpt")
    assert (ran.code, ran.err.count("already contains a run")) == (2, 1)
    assert cli("fit", "--resume", "copied.ckpt", "--name", "copied").code == 0


def test_root_of_a_copied_checkpoint_is_not_taken_from_its_config(run: Path, cli: Cli, tmp_path: Path) -> None:
    """A checkpoint may be a stranger's; in its run directory, the run may have any root."""
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    content["run_config"] = content["run_config"].replace("root: experiments", f"root: {tmp_path}/experiments")
    torch.save(content, run / "checkpoints/last.ckpt")
    assert cli("fit", "--resume", "experiments/tiny", "--print_config").code == 0
    (run / "checkpoints/last.ckpt").rename("copied.ckpt")
    ran = cli("fit", "--resume", "copied.ckpt", "--name", "other")
    message = f"copied.ckpt is in no run directory; set --root (its config has '{tmp_path}/experiments')"
    assert (ran.code, ran.err) == (2, f"error: {tmp_path}/{message}\n")
    assert cli("fit", "--resume", "copied.ckpt", "--name", "other", "--root", "experiments").code == 0


def test_later_checkpoints_and_events_are_archived(run: Path, cli: Cli) -> None:
    uninterrupted = outcome(run)
    checkpoint = run / "checkpoints/epoch_0000_step_000003.ckpt"
    ran = cli("fit", "--resume", str(checkpoint))
    assert ran.code == 0, ran.err
    assert f"resuming from {checkpoint} (step 3, epoch 1)" in ran.err
    assert differing(uninterrupted, outcome(run)) == []
    archived = sorted(path.name for path in (run / ".old/resume1").glob("*.ckpt"))
    assert archived == ["best.ckpt", *(f"epoch_{n // 5:04d}_step_{n:06d}.ckpt" for n in range(4, 9))]
    assert list((run / ".old/resume1/event").iterdir())


def test_unfinished_file_is_removed(run: Path, cli: Cli) -> None:
    (run / "checkpoints/.epoch_0009_step_000099.ckpt.123").write_text("half")
    assert cli("fit", "--resume", str(run)).code == 0
    assert not list((run / "checkpoints").glob(".*"))


def test_checkpoint_that_is_not_resumable_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    callbacks = [{"type": "ModelCheckpoint", "filename": "own", "dirpath": str(tmp_path)}]
    assert cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}})).code == 0
    ran = cli("fit", "--resume", "own.ckpt", "--name", "x")
    assert (ran.code, ran.err) == (2, "error: cannot resume from own.ckpt: it was not saved after an optimizer step\n")


TREE = {key: value for key, value in TINY.items() if key != "base"}
OTHER_NET: Tree = {"model": {"net": {"type": "tests.core.components.Wide"}}}


def copy_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_finetune_starts_a_run_with_the_weights(run: Path, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With a learning rate of 0, the last weights are the first."""
    argv = ["--finetune", str(run), "--model.optimizer.lr", "0", "--model.optimizer.weight_decay", "0"]
    ran = cli("fit", "--config", tiny(), "--name", "tuned", *argv)
    assert ran.code == 0, ran.err
    source = copy_weights(load(run))
    count, file = len(source), run / "checkpoints/best.ckpt"
    assert f"loaded {count} of the model's {count} tensors from {file}, which contains {count}" in ran.err
    tuned = tmp_path / "experiments/tuned"
    assert all(torch.equal(value, source[name]) for name, value in copy_weights(load(tuned)).items())
    assert torch.load(tuned / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert f"--finetune {run} " in (tuned / "job.sh").read_text()


def test_finetune_loads_the_tensors_that_match(run: Path, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--finetune", str(run), "--model.net.num_classes", "12", "--model.optimizer.lr", "0"]
    argv += ["--model.groups", "[{match: net.head.*, lr: 0.1}, {match: net.*, freeze: true}]"]
    ran = cli("fit", "--config", tiny(), "--name", "tuned", "--model.metric", "null", *argv)
    assert ran.code == 0, ran.err
    log = (tmp_path / "experiments/tuned/log.txt").read_text()
    assert "not loaded: net.head.weight (12, 8)" in log
    assert "not used: net.head.weight (10, 8)" in log
    assert "not loaded" not in ran.err
    source, tuned = copy_weights(load(run)), copy_weights(load(tmp_path / "experiments/tuned"))
    kept = [name for name in source if "head" not in name]
    assert kept
    assert all(torch.equal(source[name], tuned[name]) for name in kept)
    assert tuned["net.head.weight"].shape == (12, 8)

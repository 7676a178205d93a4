import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from project import load
from project.core.checkpoint import find_resumable
from project.core.config import build_config
from project.core.errors import ConfigError
from project.core.resume import differences, load_matching
from tests.conftest import TINY, Cli
from tests.exactness import differing, outcome

STEPS = {"checkpoint": {"every_n_steps": 1, "keep": -1}, "trainer": {"limit_train_batches": 4, "max_epochs": 2}}


@pytest.fixture
def run(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Path:
    """A finished run, every step of it saved."""
    ran = cli("fit", "--config", tiny(STEPS))
    assert ran.code == 0, ran.err
    return tmp_path / "experiments/tiny"


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    else:
        largest = max(zipfile.ZipFile(path).infolist(), key=lambda record: record.file_size)
        content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "empty", "one bit"])
def test_a_damaged_checkpoint_is_skipped(how: str, run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    whole = outcome(run)
    damage(run / "checkpoints/last.ckpt", how)  # a second name of epoch_0001_step_000008.ckpt
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "last.ckpt cannot be read: it is damaged" in ran.err
    assert ran.err.count("the one before it is taken") == 1
    assert differing(whole, outcome(run)) == []
    assert (run / ".old/resume1/epoch_0001_step_000008.ckpt").exists()  # nothing is thrown away
    with pytest.raises(ConfigError, match="it is damaged"):
        find_resumable(run / ".old/resume1/epoch_0001_step_000008.ckpt")


def test_all_checkpoints_damaged(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    before = sorted(run.rglob("*"))
    for path in (run / "checkpoints").iterdir():
        damage(path, "truncated")
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: experiments/tiny holds no checkpoint from which a run could go on",
    )
    assert sorted(run.rglob("*")) == before


def test_the_last_by_its_name_then_by_the_step(run: Path) -> None:
    folder = run / "checkpoints"
    assert find_resumable(run)[0].name == "last.ckpt"
    (folder / "last.ckpt").unlink()
    assert find_resumable(folder)[0].name == "epoch_0001_step_000008.ckpt"
    for path in folder.glob("epoch_0001*"):
        path.unlink()
    assert find_resumable(run)[0].name == "epoch_0000_step_000004.ckpt"


def test_auto_begins_where_there_is_nothing(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", tiny(), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "there is nothing to resume in experiments/tiny: the run begins" in ran.err
    assert not (tmp_path / "experiments/tiny/config.resume1.yaml").exists()


def test_its_own_config_beats_the_files_and_the_command_line_beats_it(
    run: Path, cli: Cli, tiny: Callable[..., str]
) -> None:
    edited = tiny(STEPS | {"model": {"net": {"hidden": 99}, "loss": {"l1": {"type": "torch.nn.L1Loss"}}}})
    ran = cli("fit", "--config", edited, "--resume", "auto", "--trainer.max_epochs", "3", "--model.optimizer.lr", "0.5")
    assert ran.code == 0, ran.err
    config = yaml.safe_load((run / "config.resume1.yaml").read_text())
    assert (config["model"]["net"]["hidden"], config["trainer"]["max_epochs"]) == (8, 3)
    assert list(config["model"]["loss"]) == ["cross_entropy"]
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 2
    messages = ran.err
    assert "goes on with its own config, whatever the files say now: in them model.net.hidden is 99, was 8" in messages
    assert "model.loss.l1.type is 'L1Loss', was not there" in messages
    assert (
        "resumed with other settings: model.optimizer.lr is 0.5, was 0.01; trainer.max_epochs is 3, was 2" in messages
    )
    assert "the state of optimizer and scheduler is the checkpoint's" in messages
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 12
    assert saved["optimizer_states"][0]["param_groups"][0]["lr"] == 0.01
    assert "max_epochs: 3" in saved["run_config"]


@pytest.mark.parametrize(
    ("place", "argv"),
    [
        ("model.optimizer.type", ["--model.optimizer", "SGD"]),
        ("model.scheduler.type", ["--model.scheduler", "Poly"]),
        ("model.groups.0.match", ["--model.groups", "[{match: net.*}]"]),
    ],
)
def test_another_optimizer_is_refused(place: str, argv: list[str], run: Path, cli: Cli) -> None:
    before = sorted(run.rglob("*"))
    ran = cli("fit", "--resume", str(run), *argv)
    assert ran.code == 2
    assert f"error: {place} is not that of the run, whose state --resume takes" in ran.err
    ran = cli("fit", "--resume", str(run), "--model.net.hidden", "9")
    assert ran.code == 2
    assert "does not fit this model" in ran.err
    assert sorted(run.rglob("*")) == before


def test_what_a_requeued_job_types_again_is_no_difference(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    argv = ["--model.optimizer.lr", "1e-2", "--model.net", "tests.rooms.MLP"]
    ran = cli("fit", "--config", tiny(STEPS), "--resume", "auto", *argv)
    assert ran.code == 0, ran.err
    assert "other settings" not in ran.err
    assert "whatever the files say" not in ran.err


@pytest.mark.usefixtures("short_names")
def test_files_that_are_not_valid_any_more_do_not_stop_it(run: Path, cli: Cli, tiny: Callable[..., str]) -> None:
    ran = cli("fit", "--config", tiny(STEPS | {"model": {"net": {"type": "Gone"}}}), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "the files given are not valid: model.net: no model is called 'Gone'" in ran.err


def test_a_folder_that_was_moved(run: Path, cli: Cli, tmp_path: Path) -> None:
    shutil.move(run, tmp_path / "elsewhere/moved")
    ran = cli("fit", "--resume", "elsewhere/moved", "--trainer.max_epochs", "3")
    assert ran.code == 0, ran.err
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == []
    saved = torch.load(tmp_path / "elsewhere/moved/checkpoints/last.ckpt", weights_only=True)
    assert saved["epoch"] == 2
    assert yaml.safe_load(saved["run_config"])["name"] == "moved"


def test_another_name_is_a_branch(run: Path, cli: Cli, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    whole = outcome(run)
    ran = cli("fit", "--resume", str(run / "checkpoints/epoch_0000_step_000003.ckpt"), "--name", "branch")
    assert ran.code == 0, ran.err
    branch = tmp_path / "experiments/branch"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(place.startswith(".curves") for place in differing(whole, outcome(branch)))
    assert (branch / "config.yaml").exists()
    assert (branch / "checkpoints/best.ckpt").exists()
    assert cli("fit", "--resume", "experiments/branch").code == 0
    ran = cli("fit", "--resume", str(run), "--name", "branch")
    assert (ran.code, ran.err.count("holds a run already")) == (2, 1)


def test_a_branch_knows_the_best_of_where_it_began(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The net is ruined after the first epoch: the best stays the first, also in a branch of a copied checkpoint."""
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


def test_a_mistake_on_the_way_changes_nothing(run: Path, cli: Cli, tmp_path: Path) -> None:
    """Too few samples for a batch is found when the loader is built."""
    early = str(run / "checkpoints/epoch_0000_step_000003.ckpt")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    for argv in ((early,), (str(run),), (early, "--name", "branch")):
        ran = cli("fit", "--resume", *argv, "--data.batch_size", "5000")
        assert (ran.code, ran.err.count("not one whole batch")) == (2, 1)
        for path, content in before.items():
            assert path.read_bytes() == content
        assert not list(run.glob("config.resume*"))
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny"]


def test_a_copied_checkpoint_does_not_overwrite_the_run(run: Path, cli: Cli, tmp_path: Path) -> None:
    shutil.copy(run / "checkpoints/epoch_0000_step_000003.ckpt", tmp_path / "copied.ckpt")
    ran = cli("fit", "--resume", "copied.ckpt")
    assert (ran.code, ran.err.count("holds a run already")) == (2, 1)
    assert cli("fit", "--resume", "copied.ckpt", "--name", "copied").code == 0


def test_going_back_sets_aside_what_came_after(run: Path, cli: Cli) -> None:
    whole = outcome(run)
    ran = cli("fit", "--resume", str(run / "checkpoints/epoch_0000_step_000003.ckpt"))
    assert ran.code == 0, ran.err
    assert differing(whole, outcome(run)) == []
    aside = sorted(path.name for path in (run / ".old/resume1").glob("*.ckpt"))
    assert aside == ["best.ckpt", *(f"epoch_{n // 5:04d}_step_{n:06d}.ckpt" for n in range(4, 9))]
    assert list((run / ".old/resume1/event").iterdir())


def test_what_was_being_written_is_removed(run: Path, cli: Cli) -> None:
    (run / "checkpoints/.epoch_0009_step_000099.ckpt.123").write_text("half")
    assert cli("fit", "--resume", str(run)).code == 0
    assert not list((run / "checkpoints").glob(".*"))


def test_a_checkpoint_of_the_users_own(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    callbacks = [{"type": "ModelCheckpoint", "filename": "own", "dirpath": str(tmp_path)}]
    assert cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks}})).code == 0
    ran = cli("fit", "--resume", "own.ckpt", "--name", "x")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: own.ckpt was not written behind a step of the optimizer: no run can go on from it exactly",
    )


def test_differences() -> None:
    tree = {key: value for key, value in TINY.items() if key != "base"}
    net = {"net": {"type": "tests.core.rooms.Wide"}}
    one = build_config(tree)
    assert differences(one, build_config(tree | {"seed": 1, "name": "other"})) == {"seed": "seed is 1, was not there"}
    two = build_config(tree | {"model": tree["model"] | net})
    assert differences(one, two)["model.net.type"] == "model.net.type is 'Wide', was 'MLP'"
    assert differences(one, two, removed=True)["model.net.hidden"] == "model.net.hidden is gone, was 8"
    assert "model.net.hidden" not in differences(one, two)
    nothing = build_config(tree | {"data": tree["data"] | {"val": None}})
    assert differences(one, nothing, removed=True) == {"data.val": "data.val is None, was set"}
    assert differences(one, one) == {}


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_finetune(run: Path, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """With a learning rate of 0, what was loaded is still there at the end."""
    argv = ["--finetune", str(run), "--model.optimizer.lr", "0", "--model.optimizer.weight_decay", "0"]
    ran = cli("fit", "--config", tiny(), "--name", "tuned", *argv)
    assert ran.code == 0, ran.err
    source = weights(load(run))
    assert f"{len(source)} of the model's {len(source)} tensors are from {run}/checkpoints/best.ckpt" in ran.err
    tuned = tmp_path / "experiments/tuned"
    assert all(torch.equal(value, source[name]) for name, value in weights(load(tuned)).items())
    assert torch.load(tuned / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert f"--finetune {run} " in (tuned / "job.sh").read_text()


def test_finetune_takes_what_matches(run: Path, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    argv = ["--finetune", str(run), "--model.net.num_classes", "12", "--model.optimizer.lr", "0"]
    argv += ["--model.groups", "[{match: net.head.*, lr: 0.1}, {match: net.*, freeze: true}]"]
    ran = cli("fit", "--config", tiny(), "--name", "tuned", "--model.metric", "null", *argv)
    assert ran.code == 0, ran.err
    log = (tmp_path / "experiments/tuned/log.txt").read_text()
    assert "begins anew: net.head.weight (12, 8)" in log
    assert "begins anew" not in ran.err
    source, tuned = weights(load(run)), weights(load(tmp_path / "experiments/tuned"))
    kept = [name for name in source if "head" not in name]
    assert kept
    assert all(torch.equal(source[name], tuned[name]) for name in kept)
    assert tuned["net.head.weight"].shape == (12, 8)


def test_weights_of_a_bare_net(tmp_path: Path, run: Path) -> None:
    module = load(run)
    source = weights(module)
    torch.save(module.net.state_dict(), tmp_path / "net.pt")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    load_matching(module, tmp_path / "net.pt")
    assert all(torch.equal(value, source[name]) for name, value in weights(module).items())
    torch.save({"model": {"other": torch.zeros(1)}}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("abc: def\n")
    with pytest.raises(ConfigError, match="is damaged or no checkpoint"):
        load_matching(module, tmp_path / "text.pt")
    with pytest.raises(ConfigError, match="none of its 1 tensors has a name and shape of this model"):
        load_matching(module, tmp_path / "other.pt")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from project.core.cluster import arrange, restarts, task_name
from project.core.errors import ConfigError
from tests.conftest import Cli

# What Slurm 22.05 sets in a task that srun started: sbatch --nodes=2 --ntasks-per-node=4.
STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "slurm.sh",
    "SLURM_NTASKS": "8",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "0",
}


def trainer(**over: Any) -> dict[str, Any]:
    return {"devices": "auto", "num_nodes": 1, "strategy": "auto", "plugins": None} | over


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in STEP.items() if key != name}


def test_the_job_says_how_many() -> None:
    arguments = trainer()
    arrange(arguments, STEP, trains=True)
    (plugin,) = arguments.pop("plugins")
    assert isinstance(plugin, SLURMEnvironment)
    assert plugin.auto_requeue is False
    assert arguments == {"devices": 4, "num_nodes": 2, "strategy": "ddp"}


def test_one_task_and_none() -> None:
    arguments = trainer()
    arrange(arguments, STEP | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "1"}, trains=True)
    assert (arguments["devices"], arguments["num_nodes"], arguments["strategy"]) == (1, 1, "auto")
    arguments = trainer()
    arrange(arguments, {}, trains=True)
    assert arguments == trainer()


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive"},  # salloc
        {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "interactive", "SLURM_NTASKS": "1"},  # salloc -n1
        STEP | {"SLURM_JOB_NAME": "bash", "SLURM_NTASKS": "1", "SLURM_NNODES": "1"},  # srun --pty bash
        {
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NAME": "wrap",
            "SLURM_NTASKS": "1",
            "SLURM_PROCID": "0",
        },  # a script without srun
    ],
)
def test_in_a_shell_on_a_node_it_is_as_on_any_machine(environment: dict[str, str]) -> None:
    arguments = trainer(devices=2)
    arrange(arguments, environment, trains=True)
    assert [type(plugin) for plugin in arguments.pop("plugins")] == [LightningEnvironment]
    assert arguments == {"devices": 2, "num_nodes": 1, "strategy": "auto"}


@pytest.mark.parametrize(
    ("devices", "becomes"), [("auto", 4), (4, 4), ("-1", 4), ("0,1,2,3", "0,1,2,3"), ([4, 5, 6, 7], [4, 5, 6, 7])]
)
def test_devices_by_their_numbers_stay(devices: Any, becomes: Any) -> None:
    arguments = trainer(devices=devices)
    arrange(arguments, STEP, trains=True)
    assert arguments["devices"] == becomes


def test_torchrun_says_how_many_also_within_slurm() -> None:
    elastic = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "3"}
    for environment in (elastic, STEP | elastic):
        arguments = trainer()
        arrange(arguments, environment, trains=True)
        assert arguments == trainer(devices=2, num_nodes=3, strategy="ddp")
    with pytest.raises(ConfigError, match=r"devices is 4, but LOCAL_WORLD_SIZE is 2: .*torchrun --nproc-per-node=4"):
        arrange(trainer(devices=4), elastic, trains=True)


@pytest.mark.parametrize(
    ("over", "environment", "says"),
    [
        ({"devices": 1}, STEP, r"trainer.devices is 1, but SLURM_NTASKS_PER_NODE is 4: leave it auto"),
        ({"devices": "0,1"}, STEP, r"trainer.devices is 0,1, but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": [0]}, STEP, r"trainer.devices is \[0\], but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": "1,"}, STEP, r"trainer.devices is 1,, but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": "gpu"}, STEP, r"trainer.devices is 'gpu'; it must be auto, how many there are, or a list"),
        ({}, {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2"}, r"SLURM_NNODES is 2, but python was not started by srun"),
        ({"num_nodes": 3}, STEP, r"trainer.num_nodes is 3, but SLURM_NNODES is 2: leave it 1"),
        (
            {"devices": 2},
            STEP | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "1"},
            r"trainer.devices is 2, but SLURM_NTASKS_PER_NODE is 1: leave it auto, or say sbatch --ntasks-per-node=2",
        ),
        ({}, STEP | {"SLURM_NTASKS": "1"}, r"SLURM_NTASKS is 1, but SLURM_NNODES x SLURM_NTASKS_PER_NODE is 2 x 4"),
        (
            {},
            STEP | {"SLURM_JOB_NAME": "bash"},
            r"SLURM_JOB_NAME is bash, .* SLURM_NTASKS is 8: give another --job-name",
        ),
        ({}, without("SLURM_STEP_ID"), r"SLURM_NTASKS is 8, but python was not started by srun"),
        ({}, without("SLURM_NTASKS_PER_NODE"), r"SLURM_NTASKS is 8, but SLURM_NTASKS_PER_NODE is not set"),
        ({"strategy": "fsdp"}, {}, r"trainer.strategy is fsdp: .* not supported yet; take ddp"),
        ({"strategy": "deepspeed_stage_2"}, {}, r"trainer.strategy is deepspeed_stage_2"),
    ],
)
def test_mistakes(over: dict[str, Any], environment: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        arrange(trainer(**over), environment, trains=True)


def test_a_mistake_is_told_once(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in without("SLURM_STEP_ID").items():
        monkeypatch.setenv(name, value)
    ran = cli("fit", "--config", tiny())
    assert (ran.code, ran.err.count("error: SLURM_NTASKS is 8, but python was not started by srun")) == (2, 1)
    assert not (tmp_path / "experiments").exists()
    monkeypatch.setattr("project.core.main.on_first_rank", lambda: False)
    for alone in (False, True):  # the first process has not told of it
        monkeypatch.setattr("project.core.main.outlives", lambda seconds, alone=alone: alone)
        ran = cli("fit", "--config", tiny())
        assert (ran.code, ran.err.count("[rank 0] error: SLURM_NTASKS is 8")) == (2, alone)


def test_a_restarted_job_goes_on_with_what_it_began(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was typed: the first weights, or that a run is to be replaced."""
    assert cli("fit", "--config", tiny(), "--name", "other").code == 0
    assert cli("fit", "--config", tiny()).code == 0
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    argv = ["--replace", "--finetune", "experiments/other"]
    assert cli("fit", "--config", tiny(), *argv).code == 0
    run = tmp_path / "experiments/tiny"
    assert (run / "slurm.txt").read_text() == "7\n"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ran = cli("fit", "--config", tiny(), *argv, "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert "goes on behind step 2" in ran.err
    assert "tensors are from" not in ran.err
    assert len(list((tmp_path / "experiments/.old").iterdir())) == 1
    monkeypatch.setenv("SLURM_JOB_ID", "8")  # another job's first start was lost before it could save
    assert cli("fit", "--config", tiny(), *argv).code == 0
    assert len(list((tmp_path / "experiments/.old").iterdir())) == 2


def test_tasks_of_an_array_have_folders_of_their_own(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert cli("fit", "--config", tiny()).code == 0
    assert cli("fit", "--config", tiny(), "--resume", "auto").code == 0
    assert (tmp_path / "experiments/tiny_3/config.resume1.yaml").exists()
    assert cli("fit", "--config", tiny(), "--resume", "experiments/tiny_3").code == 0
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny_3"]


@pytest.mark.parametrize("resume", ["experiments/tiny", "experiments/tiny/checkpoints/epoch_0000_step_000001.ckpt"])
def test_a_restarted_job_that_resumed_a_run_goes_on_where_it_stands(
    resume: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the checkpoint that was typed, from which it would never come to an end."""
    assert cli("fit", "--config", tiny({"checkpoint": {"every_n_steps": 1}})).code == 0
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    argv = ("fit", "--resume", resume, "--trainer.max_epochs")
    assert cli(*argv, "2").code == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ran = cli(*argv, "3")
    assert ran.code == 0, ran.err
    assert "goes on behind step 4" in ran.err


def test_names_and_restarts() -> None:
    assert task_name("x", {}) == "x"
    assert task_name("x", {"SLURM_ARRAY_TASK_ID": "12"}) == "x_12"
    assert restarts({}) == 0
    assert restarts({"SLURM_RESTART_COUNT": "2"}) == 2

"""Slurm and torchrun: the processes that they started, and what of the yaml contradicts them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from project.core.distributed.cluster import apply_cluster, array_task_name, job_record, restart_count
from project.core.errors import ConfigError
from tests.conftest import Cli

# Variables of Slurm 22.05 in a task that srun started, after sbatch --nodes=2 --ntasks-per-node=4.
STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "slurm.sh",
    "SLURM_NTASKS": "8",
    "SLURM_NNODES": "2",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "0",
}


def trainer_arguments(**arguments: Any) -> dict[str, Any]:
    return {"devices": "auto", "num_nodes": 1, "strategy": "auto", "plugins": None} | arguments


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in STEP.items() if key != name}


def test_slurm_sets_devices_nodes_and_strategy() -> None:
    arguments = trainer_arguments()
    apply_cluster(arguments, STEP, is_fit=True)
    (plugin,) = arguments.pop("plugins")
    assert isinstance(plugin, SLURMEnvironment)
    assert plugin.auto_requeue is False
    assert arguments == {"devices": 4, "num_nodes": 2, "strategy": "ddp"}


def test_one_task_or_no_slurm_changes_little() -> None:
    arguments = trainer_arguments()
    apply_cluster(
        arguments, STEP | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "1"}, is_fit=True
    )
    assert (arguments["devices"], arguments["num_nodes"], arguments["strategy"]) == (1, 1, "auto")
    arguments = trainer_arguments()
    apply_cluster(arguments, {"RANK": "0", "WORLD_SIZE": "1"}, is_fit=True)
    assert arguments == trainer_arguments()


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
def test_shell_on_a_node_is_treated_as_any_machine(environment: dict[str, str]) -> None:
    arguments = trainer_arguments(devices=2)
    apply_cluster(arguments, environment, is_fit=True)
    assert [type(plugin) for plugin in arguments.pop("plugins")] == [LightningEnvironment]
    assert arguments == {"devices": 2, "num_nodes": 1, "strategy": "auto"}


@pytest.mark.parametrize(
    ("devices", "expected"), [("auto", 4), (4, 4), ("-1", 4), ("0,1,2,3", "0,1,2,3"), ([4, 5, 6, 7], [4, 5, 6, 7])]
)
def test_device_indices_are_kept(devices: Any, expected: Any) -> None:
    arguments = trainer_arguments(devices=devices)
    apply_cluster(arguments, STEP, is_fit=True)
    assert arguments["devices"] == expected


def test_torchrun_sets_devices_and_nodes_also_in_a_slurm_job() -> None:
    elastic = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "3"}
    for environment in (elastic, STEP | elastic):
        arguments = trainer_arguments()
        apply_cluster(arguments, environment, is_fit=True)
        assert arguments == trainer_arguments(devices=2, num_nodes=3, strategy="ddp")
    with pytest.raises(
        ConfigError,
        match=r"devices is 4, but LOCAL_WORLD_SIZE is 2; set it to auto, or use torchrun --nproc-per-node=4",
    ):
        apply_cluster(trainer_arguments(devices=4), elastic, is_fit=True)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (
            {"devices": 1},
            STEP,
            r"trainer.devices is 1, but SLURM_NTASKS_PER_NODE is 4; set it to auto, or use sbatch --ntasks-per-node=1",
        ),
        ({"devices": "0,1"}, STEP, r"trainer.devices is 0,1, but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": [0]}, STEP, r"trainer.devices is \[0\], but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": "1,"}, STEP, r"trainer.devices is 1,, but SLURM_NTASKS_PER_NODE is 4"),
        ({"devices": "gpu"}, STEP, r"trainer.devices is 'gpu'; it must be auto, a number, or a list of indices"),
        ({}, {"SLURM_JOB_ID": "7", "SLURM_NNODES": "2"}, r"SLURM_NNODES is 2, but python was not started by srun"),
        ({"num_nodes": 3}, STEP, r"trainer.num_nodes is 3, but SLURM_NNODES is 2; set it to 1"),
        (
            {"devices": 2},
            STEP | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "1"},
            r"trainer.devices is 2, but SLURM_NTASKS_PER_NODE is 1; set it to auto, or use sbatch --ntasks-per-node=2",
        ),
        ({}, STEP | {"SLURM_NTASKS": "1"}, r"SLURM_NTASKS is 1, but SLURM_NNODES x SLURM_NTASKS_PER_NODE is 2 x 4"),
        (
            {},
            STEP | {"SLURM_JOB_NAME": "bash"},
            r"SLURM_JOB_NAME is bash, .* SLURM_NTASKS is 8; use another --job-name",
        ),
        ({}, without("SLURM_STEP_ID"), r"SLURM_NTASKS is 8, but python was not started by srun"),
        ({}, without("SLURM_NTASKS_PER_NODE"), r"SLURM_NTASKS is 8, but SLURM_NTASKS_PER_NODE is not set"),
        ({}, {"RANK": "1", "WORLD_SIZE": "2"}, r"RANK is 1 and WORLD_SIZE 2, but torchrun did not set them"),
        ({"num_nodes": 2}, {}, r"trainer.num_nodes is 2, but nothing says which of the machines this is"),
    ],
)
def test_processes_that_contradict_the_yaml_are_refused(
    arguments: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_cluster(trainer_arguments(**arguments), environment, is_fit=True)


def test_mistake_that_all_ranks_find_is_reported_once(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in without("SLURM_STEP_ID").items():
        monkeypatch.setenv(name, value)
    ran = cli("fit", "--config", tiny())
    assert (ran.code, ran.err.count("error: SLURM_NTASKS is 8, but python was not started by srun")) == (2, 1)
    assert not (tmp_path / "experiments").exists()
    monkeypatch.setattr("project.core.cli.main.is_rank_zero", lambda: False)
    for is_unsignaled in (False, True):  # if no signal comes, rank 0 has not found the mistake
        monkeypatch.setattr("project.core.cli.main.wait_unless_signaled", lambda seconds, result=is_unsignaled: result)
        ran = cli("fit", "--config", tiny())
        assert (ran.code, ran.err.count("[rank 0] error: SLURM_NTASKS is 8")) == (2, is_unsignaled)


def test_restarted_job_resumes_its_run_whatever_its_options_are(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options ask for the weights of another run, and to replace a run."""
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
    assert "resuming from experiments/tiny/checkpoints/last.ckpt (step 2, epoch 1)" in ran.err
    assert "tensors from" not in ran.err
    assert len(list((tmp_path / "experiments/.old").iterdir())) == 1
    monkeypatch.setenv("SLURM_JOB_ID", "8")  # another job was restarted before it saved a checkpoint
    assert cli("fit", "--config", tiny(), *argv).code == 0
    assert len(list((tmp_path / "experiments/.old").iterdir())) == 2


def test_each_task_of_an_array_has_its_own_directory(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert cli("fit", "--config", tiny()).code == 0
    assert cli("fit", "--config", tiny(), "--resume", "auto").code == 0
    assert (tmp_path / "experiments/tiny_3/config.resume1.yaml").exists()
    assert cli("fit", "--config", tiny(), "--resume", "experiments/tiny_3").code == 0
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["tiny_3"]


@pytest.mark.parametrize("resume", ["experiments/tiny", "experiments/tiny/checkpoints/epoch_0000_step_000001.ckpt"])
def test_restarted_job_that_resumed_a_run_continues_at_its_newest_checkpoint(
    resume: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not start at the checkpoint of the option again, which would never end."""
    assert cli("fit", "--config", tiny({"checkpoint": {"every_n_steps": 1}})).code == 0
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    argv = ("fit", "--resume", resume, "--trainer.max_epochs")
    assert cli(*argv, "2").code == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ran = cli(*argv, "3")
    assert ran.code == 0, ran.err
    assert "(step 4, epoch 2)" in ran.err


def test_name_of_array_task_and_restart_count() -> None:
    assert array_task_name("x", {}) == "x"
    assert array_task_name("x", {"SLURM_ARRAY_TASK_ID": "12"}) == "x_12"
    assert restart_count({}) == 0
    assert restart_count({"SLURM_RESTART_COUNT": "2"}) == 2
    assert restart_count({"TORCHELASTIC_RESTART_COUNT": "1"}) == 1


def test_job_is_recognized_after_a_restart_and_differs_from_other_jobs() -> None:
    """Several nodes have several torchruns, with one run id; on one node, the id is often "none"."""
    elastic = {"TORCHELASTIC_RUN_ID": "a b", "GROUP_WORLD_SIZE": "1"}
    assert job_record({}) is None
    assert job_record(elastic) == ("torchrun.txt", f"a-b-{os.getppid()}")
    assert job_record(elastic | {"GROUP_WORLD_SIZE": "2"}) == ("torchrun.txt", "a-b")
    assert job_record({"TORCHELASTIC_RUN_ID": "none", "GROUP_WORLD_SIZE": "2"}) is None  # any other job's, too
    assert job_record(elastic | {"SLURM_JOB_ID": "7"}) == ("slurm.txt", "7")


@pytest.mark.parametrize(
    ("restarts", "shares", "warns"), [("3", "True", True), ("0", "True", False), ("3", "False", False)]
)
def test_torchrun_whose_restarts_would_hang_is_warned_of(
    restarts: str, shares: str, warns: bool, messages: list[str]
) -> None:
    elastic = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_MAX_RESTARTS": restarts}
    apply_cluster(trainer_arguments(), elastic | {"TORCHELASTIC_USE_AGENT_STORE": shares}, is_fit=True)
    expected = (
        "torchrun --max-restarts=3: restarted processes will hang; "
        "start it as `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun ...`"
    )
    assert messages == [expected] * warns


def test_processes_that_torchrun_restarted_resume_their_run(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RUN_ID": "none", "RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    for name, value in {"LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert cli("fit", "--config", tiny()).code == 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    ran = cli("fit", "--config", tiny(), "--replace")
    assert ran.code == 0, ran.err
    assert "resuming from experiments/tiny/checkpoints/last.ckpt (step 2, epoch 1)" in ran.err
    assert not (tmp_path / "experiments/.old").exists()


@pytest.mark.slow
def test_fork_of_a_job_that_was_restarted_before_its_first_checkpoint_is_started_again(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    argv = ("fit", "--resume", "experiments/tiny/checkpoints/last.ckpt", "--name", "fork", "--trainer.max_epochs", "2")
    assert cli(*argv).code == 0
    fork = tmp_path / "experiments/fork"
    chain = (fork / "states.jsonl").read_text()
    shutil.rmtree(fork / "checkpoints")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    ran = cli(*argv)
    assert ran.code == 0, ran.err
    assert (fork / "states.jsonl").read_text() == chain

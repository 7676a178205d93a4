"""A run on several processes, and in several workers: the same samples, metrics and gradients as in one."""

import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.config.yaml_files import merge_all
from project.core.run.checkpoint_files import load_resumable
from tests.conftest import CONFIGS, TINY, Cli, slow_except
from tests.core.fitted_components import BUFFERS, FITTED, buffers
from tests.core.run.test_exact_resume import BLENDED, RANDOM
from tests.exactness import curves, differing, flat, outcome

TRACED = RANDOM | {
    "checkpoint": {"every_n_steps": 1, "keep": -1},
    "data": RANDOM["data"] | {"batch_size": 6, "val": {"type": "tests.core.random_components.Noisy", "length": 20}},
    "trainer": RANDOM["trainer"] | {"callbacks": [{"type": "tests.core.random_components.Trace"}], "strategy": "ddp"},
}


def fit(config: str, directory: Path, devices: int, *argv: str) -> str:
    """Train in subprocesses, and return their output."""
    return run(directory, "fit", "--config", config, "--trainer.devices", str(devices), "--root", "experiments", *argv)


def run(directory: Path, *argv: str) -> str:
    """Call the command line in a subprocess, and return its output."""
    directory.mkdir(exist_ok=True)
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *argv]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def trace(directory: Path) -> list[list[int]]:
    """Return the samples of each step, of all ranks together, which the callback Trace wrote."""
    files = sorted(directory.glob("trace.*.txt"))
    parts = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    return [[*chain(*step)] for step in zip(*parts, strict=True)]


@pytest.mark.parametrize("workers", slow_except(["1", "3"], "3"))
def test_samples_and_weights_do_not_depend_on_the_number_of_workers(
    workers: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(TRACED | {"trainer": TRACED["trainer"] | {"strategy": "auto"}})
    assert cli("fit", "--config", config).code == 0
    one = trace(tmp_path)
    (tmp_path / "trace.0.txt").unlink()
    assert cli("fit", "--config", config, "--name", "two", "--data.num_workers", workers).code == 0
    assert trace(tmp_path) == one
    first, second = (tmp_path / "experiments" / name / "checkpoints/last.ckpt" for name in ("tiny", "two"))
    weights = [torch.load(path, weights_only=True)["state_dict"] for path in (first, second)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_samples_of_each_step_do_not_depend_on_the_number_of_processes(
    tiny: Callable[..., str], tmp_path: Path
) -> None:
    # Without dropout and batch statistics, which depend on the process, the weights differ by rounding only.
    net: dict[str, Any] = {"net": {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10}}
    config = tiny(TRACED | {"model": RANDOM["model"] | net})
    for devices in (1, 2, 3):
        fit(config, tmp_path / str(devices), devices)
    traces = {devices: trace(tmp_path / str(devices)) for devices in (1, 2, 3)}
    assert len(traces[1]) == 14
    assert traces[1] == traces[2] == traces[3]
    for devices in (2, 3):
        alone, shared = (curves(tmp_path / str(number) / "experiments/tiny") for number in (1, devices))
        for name in ("val/sum", "val/accuracy"):
            assert [step for step, _ in alone[name]] == [step for step, _ in shared[name]]
            assert [value for _, value in shared[name]] == pytest.approx([value for _, value in alone[name]], rel=1e-4)


@pytest.mark.slow
def test_run_of_two_processes_is_resumed_with_one(tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(TRACED)
    fit(config, tmp_path / "one", 1)
    fit(config, tmp_path / "two", 2, "--trainer.max_steps", "4")
    fit(config, tmp_path / "two", 1, "--resume", "auto", "--trainer.max_steps", "-1")
    parts = [[json.loads(line) for line in (tmp_path / f"two/trace.{rank}.txt").open()] for rank in (0, 1)]
    joined = [[*one, *two] for one, two in zip(parts[0][:4], parts[1], strict=True)] + parts[0][4:]
    assert joined == trace(tmp_path / "one")
    epoch = [*chain(*joined[:7])]
    assert len(epoch) == len({*epoch}) == 42


@pytest.mark.slow
def test_training_values_over_the_epoch_are_of_all_processes_and_resumed_exactly(
    tiny: Callable[..., str], tmp_path: Path
) -> None:
    """With a learning rate of 0 and without dropout, one process has the same values."""
    auroc = {"type": "MulticlassAUROC", "num_classes": 10, "inputs": {"preds": "logits", "target": "label"}}
    over: dict[str, Any] = {"train_metrics": "epoch", "metric": TINY["model"]["metric"] | {"auroc": auroc}}
    over |= {"net": {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10}, "optimizer": {"lr": 0.0}}
    config = tiny(TRACED | {"model": RANDOM["model"] | over})
    for devices in (1, 2):
        fit(config, tmp_path / str(devices), devices)
    alone, shared = (curves(tmp_path / str(devices) / "experiments/tiny") for devices in (1, 2))
    for name in ("train/sum", "train/accuracy", "train/auroc"):
        assert [step for step, _ in shared[name]] == [7, 14]
        assert [value for _, value in shared[name]] == pytest.approx([value for _, value in alone[name]], rel=1e-5)
    whole = shutil.copytree(tmp_path / "2/experiments/tiny", tmp_path / "whole")
    checkpoint = "experiments/tiny/checkpoints/epoch_0001_step_000010.ckpt"
    run(tmp_path / "2", "fit", "--resume", checkpoint, "--trust", "--trainer.devices", "2")
    assert differing(outcome(whole), outcome(tmp_path / "2/experiments/tiny")) == []
    shown = run(tmp_path / "2", "fit", "--resume", checkpoint, "--trust", "--trainer.devices", "1")
    assert "train/ values of this epoch are those of its batches after the checkpoint" in shown


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_number_of_processes(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """That of the processes divides neither a batch nor all samples, or there is only one sample."""
    lengths = {"some": 11, "one": 1, "all": 12}
    sets: dict[str, Any] = {"type": None}  # several datasets instead of that of the base
    sets |= {name: {"type": "tests.core.random_components.NoisyBatches", "length": n} for name, n in lengths.items()}
    auroc = {"type": "torchmetrics.classification.MulticlassAUROC", "num_classes": 10}
    metric = {"auroc": auroc | {"inputs": {"preds": "logits", "target": "label"}}}
    data = TRACED["data"] | {"val": {"type": "tests.core.random_components.Noisy", "length": 20}, "eval": sets}
    over = {"data": data, "model": RANDOM["model"] | {"metric": TINY["model"]["metric"] | metric}}
    config = tiny(RANDOM | over)
    assert cli("fit", "--config", config).code == 0
    stages = {"test": lengths, "validate": {"": 20}, "predict": lengths}
    for stage, devices in itertools.product(stages, (1, 2, 3)):
        argv = [
            "--ckpt_path",
            "experiments/tiny",
            "--data.batch_size",
            "4",
            "--trust",
            "--results_dir",
            f"{stage}{devices}",
            "--trainer.strategy",
            "ddp",
        ]
        shown = run(tmp_path, stage, *argv, "--trainer.devices", str(devices))
        assert shown.count("results are in") == 1
        assert shown.count("┏") == (stage != "predict")
    for stage, numbers in stages.items():
        alone, *shared = (read_results(tmp_path / f"{stage}{devices}", numbers) for devices in (1, 2, 3))
        for other in shared:
            assert other.keys() == alone.keys()
            for name, value in alone.items():
                is_exact = "accuracy" in name or "index" in name
                assert other[name] == (value if is_exact else pytest.approx(value, rel=1e-5, abs=1e-6)), name


def read_results(results: Path, lengths: dict[str, int]) -> dict[str, Any]:
    """Return the metrics and the columns of samples.csv, which has one row per sample.

    Args:
        results: directory of the results.
        lengths: number of samples by dataset.
    """
    found = json.loads((results / "metrics.json").read_text()) if (results / "metrics.json").exists() else {}
    for dataset, length in lengths.items():
        rows = list(csv.DictReader((results / dataset / "samples.csv").open()))
        assert [int(row["index"]) for row in rows] == list(range(length))
        found |= {f"{dataset}.{name}": [float(row[name]) for row in rows] for name in rows[0]}
    return {name: value for name, value in found.items() if value == value}  # without NaN


@pytest.mark.slow
def test_buffers_of_rank_0_are_saved_and_evaluated(tiny: Callable[..., str], tmp_path: Path) -> None:
    """The net has batch norm, whose statistics differ between processes until the end of an epoch."""
    over = {"evaluation": {"every_n_epochs": 2}, "visual": None}
    fit(tiny(TRACED | over), tmp_path / "two", 2)
    directory = tmp_path / "two/experiments/tiny"
    during_training = {name: points[-1][1] for name, points in curves(directory).items()}
    periodic = json.loads((directory / "eval/epoch_0001/metrics.json").read_text())
    for stage, split in (("validate", "val"), ("test", "eval")):
        run(
            tmp_path / "two",
            stage,
            "--trust",
            "--ckpt_path",
            str(directory / "checkpoints/last.ckpt"),
            "--results_dir",
            stage,
        )
        alone = json.loads((tmp_path / "two" / stage / "metrics.json").read_text())
        assert alone.keys() == periodic.keys() == {"cross_entropy", "sum", "accuracy"}
        for name, value in alone.items():
            assert during_training[f"{split}/{name}"] == pytest.approx(value, rel=1e-6), name
    assert periodic == pytest.approx(alone, rel=1e-6)


@pytest.mark.slow
def test_gradients_do_not_depend_on_the_number_of_processes(tiny: Callable[..., str], tmp_path: Path) -> None:
    """SGD with a learning rate of 1 changes a weight by its gradient, here that of two accumulated batches."""
    net: dict[str, Any] = {
        "net": {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10},
        "clip": None,
        "scheduler": None,
    }
    model = RANDOM["model"] | net | {"optimizer": {"type": "SGD", "lr": 1.0}}
    trainer = TRACED["trainer"] | {"accumulate_grad_batches": 2, "max_steps": 2}
    config = tiny(TRACED | {"model": model, "trainer": trainer})
    weights = []
    for devices in (1, 2, 3):
        fit(config, tmp_path / str(devices), devices)
        last = tmp_path / str(devices) / "experiments/tiny/checkpoints/last.ckpt"
        weights.append(torch.load(last, weights_only=True)["state_dict"])
    for other in weights[1:]:
        for name, value in weights[0].items():
            torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_what_trains_from_an_epoch_on_is_synchronized_and_averaged_on_all_processes(
    tiny: Callable[..., str], tmp_path: Path
) -> None:
    """A resume within and after the frozen epoch ends with the same bits."""
    net = {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10}
    groups = [{"match": "net.body.1.*", "freeze": {"until_epoch": 1}}]
    config = tiny(TRACED | {"model": RANDOM["model"] | {"net": net, "ema": 0.7, "groups": groups}})
    weights = []
    for devices in (1, 2):
        fit(config, tmp_path / str(devices), devices)
        saved = torch.load(tmp_path / str(devices) / "experiments/tiny/checkpoints/last.ckpt", weights_only=True)
        weights.append(flat({key: saved[key] for key in ("state_dict", "moving_average")}))
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0, atol=1e-6)
    directory = tmp_path / "2/experiments/tiny"
    uninterrupted = shutil.copytree(directory, tmp_path / "uninterrupted")
    for step in ("0000_step_000004", "0001_step_000009"):
        shutil.rmtree(directory)
        shutil.copytree(uninterrupted, directory)
        checkpoint = directory / f"checkpoints/epoch_{step}.ckpt"
        run(tmp_path / "2", "fit", "--resume", str(checkpoint), "--config", config)
        assert differing(outcome(uninterrupted), outcome(directory)) == [], step


@pytest.mark.slow
def test_only_rank_0_logs_and_writes(tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(TRACED | {"visual": "tests.components.Row", "evaluation": {"every_n_epochs": 1}})
    shown = fit(config, tmp_path / "two", 2)
    directory = tmp_path / "two/experiments/tiny"
    for text in ("the run directory is", "INFO    epoch 1/2", "INFO    epoch 2/2", "INFO    finished: "):
        assert shown.count(text) == 1, text
        assert (directory / "log.txt").read_text().count(text) == 1
    assert [path.name for path in (tmp_path / "two/experiments").iterdir()] == ["tiny"]
    assert len(list((directory / "event").glob("events*"))) == 1
    assert len((directory / "eval/epoch_0001/samples.csv").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    "message",
    [
        "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed",
        "Application timeout caused pair closure",
    ],
)
def test_lost_process_is_reported_in_one_line(
    message: str, cli: Cli, tiny: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, batch: Any, batch_idx: int) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr("project.core.model.module.SupervisedModule.training_step", fail)
    ran = cli("fit", "--config", tiny())
    assert ran.code == 1
    assert f"another process of the run ended or does not answer: {message}" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "killed", "frozen"])
def test_failed_process_ends_the_run_which_can_be_resumed(how: str, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The first error in the output is that of the failed process, or says that another process failed."""
    callback = {"type": "tests.core.random_components.Failing", "rank": 1, "step": 4, "how": how}
    config = tiny(TRACED | {"timeout": 8, "trainer": TRACED["trainer"] | {"callbacks": [callback]}})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode != 0
    errors = [
        line
        for line in done.stderr.splitlines()
        if (" ERROR " in line and "raised in" in line) or "another process" in line
    ]
    if how == "raises":
        assert "raised in on_train_batch_start" in errors[0]
        assert "[rank 1]" in errors[0]
    else:
        assert "another process of the run ended or does not answer" in errors[0]
    assert load_resumable(tmp_path / "experiments/tiny").step == 4
    assert run(tmp_path, "fit", "--config", config, "--resume", "auto", "--trainer.devices", "2")


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [[], [{"type": "GradientAccumulationScheduler", "scheduling": {0: 3, 1: 2}}]])
def test_killed_process_is_restarted_by_torchrun_and_the_run_ends_as_if_undisturbed(
    accumulation: list[dict[str, Any]], tiny: Callable[..., str], tmp_path: Path
) -> None:
    callback = {"type": "tests.core.random_components.Failing", "rank": 1, "step": 4, "how": "killed"}
    trainer = RANDOM["trainer"] | {"callbacks": [callback, *accumulation], "strategy": "ddp"}
    data = TRACED["data"] | {"batch_augmentation": BLENDED}
    config = tiny(TRACED | {"timeout": 20, "data": data, "trainer": trainer})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "1", str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    environment = os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    for name in ("undisturbed", "killed"):
        directory = tmp_path / name
        directory.mkdir()
        if name == "undisturbed":
            (directory / "struck.txt").touch()
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr
        assert "will hang" not in done.stderr
        assert ("resuming from experiments/tiny" in done.stderr) is (name == "killed")
    outcomes = [outcome(tmp_path / name / "experiments/tiny") for name in ("undisturbed", "killed")]
    assert differing(*outcomes) == []


@pytest.mark.slow
def test_signal_while_data_is_built_and_process_that_ends_late(tiny: Callable[..., str], tmp_path: Path) -> None:
    """No process waits for others in a signal handler, and none is killed because another ended before it."""
    over = {"data": TRACED["data"] | {"train": {"type": "tests.core.random_components.StruckWhileBuilt", "length": 42}}}
    config = tiny(
        TRACED | over | {"trainer": TRACED["trainer"] | {"callbacks": ["tests.core.random_components.Lingering"]}}
    )
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config, "--trainer.devices", "2"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 75, done.stderr
    assert done.stderr.count("stopped by SIGTERM") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"data": {"eval": {"type": "tests.core.random_components.NoisyStream"}}},
            "error: data.eval (NoisyStream) is iterable, and each of 2 processes would read all of it",
        ),
        (
            {"model": {"metric": {"listed": {"type": "tests.core.random_components.Listed"}}}},
            "error: Listed cannot be computed on several processes: its state 'found' is a list",
        ),
    ],
)
def test_data_and_metric_that_several_processes_cannot_evaluate_are_refused(
    settings: dict[str, Any], message: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny(merge_all([RANDOM, {"trainer": {"max_epochs": 1}}, settings]))
    assert cli("fit", "--config", config).code == 0
    argv = ["test", "--trust", "--ckpt_path", "experiments/tiny", "--trainer.devices", "2"]
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), *argv]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("error: ")) == (2, 1), done.stderr
    assert message in done.stderr


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_a_run(tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(TRACED | {"trainer": TRACED["trainer"] | {"strategy": "auto"}})
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert len(trace(tmp_path)) == 14
    assert {len(step) for step in trace(tmp_path)} == {6}
    wrong = subprocess.run(
        [*command, "--trainer.devices", "3", "--name", "x"], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert wrong.stderr.count("error: trainer.devices is 3, but LOCAL_WORLD_SIZE is 2") == 1


@pytest.mark.slow
def test_fitted_buffers_do_not_depend_on_the_number_of_processes(tiny: Callable[..., str], tmp_path: Path) -> None:
    writer = {"type": "tests.core.fitted_components.WriteBuffers"}
    config = tiny(FITTED | {"trainer": {"strategy": "ddp", "callbacks": [writer]}})
    found = []
    for devices in (1, 2, 3):
        directory = tmp_path / str(devices)
        shown = fit(config, directory, devices)
        assert shown.count("fitted model.net to 42 samples") == 1
        found += [torch.load(file, weights_only=True) for file in directory.glob("buffers.*.pt")]
        shown = fit(config, directory, devices, "--resume", "auto", "--trainer.max_epochs", "2")
        assert "fitted model.net" not in shown
        found.append(buffers(directory / "experiments/tiny"))
    assert len(found) == 6 + 3
    for other in found[1:]:
        assert all(torch.equal(other[name], found[0][name]) for name in BUFFERS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("wait", 0, "fitted model.net to "),
        ("error", 1, "ZeroDivisionError: on purpose"),
        ("mistake", 2, "error: a mistake"),
        ("signal", 75, "stopped by SIGTERM before the first step; nothing was saved"),
    ],
)
def test_other_processes_wait_for_the_first_one_to_fit(
    how: str, code: int, message: str, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """As long as it takes, although the `timeout` is shorter."""
    net = {"type": "tests.core.fitted_components.Waiting", "how": how, "seconds": 25 if how == "wait" else 1}
    config = tiny({"timeout": 20, "model": {"net": net}, "trainer": {"strategy": "ddp", "devices": 2}})
    command = [sys.executable, str(CONFIGS.parent / "cli.py"), "fit", "--config", config]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stderr
    assert done.stderr.count(message) >= 1
    assert "Timed out" not in done.stderr

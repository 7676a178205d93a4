"""Evaluation during training gives the results of the stage `test`, and does not change the training."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves, differing, outcome

EVERY_TWO_EPOCHS: dict[str, Any] = RANDOM | {
    "evaluation": {"every_n_epochs": 2},
    "visual": "tests.components.Row",
    "trainer": RANDOM["trainer"] | {"max_epochs": 4},
}


@pytest.mark.parametrize(
    "over",
    [
        pytest.param({}, marks=pytest.mark.slow),  # the others compare the same and more
        {"trainer": {"callbacks": [{"type": "EMAWeightAveraging", "decay": 0.9}]}},
        pytest.param({"trainer": {"precision": "bf16-mixed"}}, marks=pytest.mark.slow),
        pytest.param({"trainer": {"precision": "64-true"}}, marks=pytest.mark.slow),
        pytest.param(
            {"data": {"eval": {"type": "tests.core.random_components.NoisyBatches", "length": 11}}},
            marks=pytest.mark.slow,
        ),
        pytest.param({"data": {"num_workers": 1}}, marks=pytest.mark.slow),
    ],
    ids=["default", "weight averaging", "bf16-mixed", "64-true", "batches loaded in one call", "one worker"],
)
def test_results_are_equal_to_those_of_the_stage_test(
    over: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny(EVERY_TWO_EPOCHS), "--config", tiny({"base": []} | over, "over.yaml"))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["epoch_0001", "epoch_0003"]
    for epoch, step in ((1, 10), (3, 20)):
        during_training = run / f"eval/epoch_{epoch:04d}"
        checkpoint = run / f"checkpoints/epoch_{epoch:04d}_step_{step:06d}.ckpt"
        assert cli("test", "--ckpt_path", str(checkpoint), "--results_dir", f"test{epoch}").code == 0
        for name in ("metrics.json", "samples.csv", "visual.png"):
            assert (during_training / name).read_bytes() == (tmp_path / f"test{epoch}" / name).read_bytes(), name
        with (during_training / "samples.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["index", "cross_entropy", "accuracy"]
        assert [row["index"] for row in rows] == [str(index) for index in range(11)]
    logged = curves(run)["eval/accuracy"]
    assert [step for step, _ in logged] == [10, 20]
    metrics = json.loads((run / "eval/epoch_0003/metrics.json").read_text())
    assert logged[1][1] == pytest.approx(metrics["accuracy"], rel=1e-6)


def test_training_does_not_change(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(EVERY_TWO_EPOCHS)
    argv = ["--evaluation.every_n_epochs", "1", "--evaluation.at_start", "true"]
    assert cli("fit", "--config", config, "--name", "with", *argv).code == 0
    assert cli("fit", "--config", config, "--name", "without", "--evaluation", "null").code == 0
    one, two = (outcome(tmp_path / "experiments" / name) for name in ("with", "without"))
    paths = {path.split("/")[0] for path in differing(one, two)}
    assert paths == {".curves.eval", ".rows.0", ".callbacks.Checkpoints.values.eval"}


def test_evaluation_at_the_start_and_at_a_resume_takes_the_first_samples(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    evaluation = {"at_start": True, "every_n_epochs": 0, "max_samples": 5}
    config = tiny(RANDOM | {"evaluation": evaluation})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    assert len((run / "eval/step_000000/samples.csv").read_text().splitlines()) == 6
    assert cli("fit", "--resume", str(run / "checkpoints/epoch_0000_step_000003.ckpt")).code == 0
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["step_000000", "step_000003"]
    assert [step for step, _ in curves(run)["eval/accuracy"]] == [0, 3]


def test_evaluation_can_choose_the_best_checkpoint(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    monitor = {"monitor": "eval/sum", "every_n_epochs": 1}
    argv = ["--model.optimizer.maximize", "true", "--model.optimizer.lr", "0.1"]  # else the last one would be the best
    assert cli("fit", "--config", tiny(EVERY_TWO_EPOCHS | {"checkpoint": monitor}), *argv).code == 0
    run = tmp_path / "experiments/tiny"
    sums = {epoch: json.loads((run / f"eval/epoch_{epoch:04d}/metrics.json").read_text())["sum"] for epoch in (1, 3)}
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert best == min(sums, key=sums.__getitem__) == 1


def test_several_datasets_have_separate_metrics_and_tables(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    noisy = {"type": "tests.core.random_components.Noisy"}
    data = RANDOM["data"] | {"eval": {"a": noisy | {"length": 3}, "b": noisy | {"length": 9}}}
    config = tiny({"data": {"eval": {"type": None}}}, "several.yaml")
    ran = cli("fit", "--config", config, "--config", tiny({"base": []} | EVERY_TWO_EPOCHS | {"data": data}))
    assert ran.code == 0, ran.err
    metrics = json.loads((tmp_path / "experiments/tiny/eval/epoch_0001/metrics.json").read_text())
    assert {"a/accuracy", "b/accuracy"} <= metrics.keys()
    assert len((tmp_path / "experiments/tiny/eval/epoch_0001/b/samples.csv").read_text().splitlines()) == 10


def test_evaluation_works_with_lightnings_model_checkpoint(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Its empty hook `on_test_batch_start` is removed, and must not be called."""
    callbacks = [{"type": "ModelCheckpoint", "dirpath": str(tmp_path / "own")}]
    ran = cli("fit", "--config", tiny({"evaluation": {"every_n_epochs": 1}, "trainer": {"callbacks": callbacks}}))
    assert ran.code == 0, ran.err
    assert (tmp_path / "experiments/tiny/eval/epoch_0000/metrics.json").exists()
    assert list((tmp_path / "own").glob("*.ckpt"))

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Cli
from tests.core.test_exact_resume import RANDOM
from tests.exactness import curves, differing, outcome

EVERY: dict[str, Any] = RANDOM | {
    "evaluation": {"every_n_epochs": 2},
    "visual": "tests.rooms.Row",
    "trainer": RANDOM["trainer"] | {"max_epochs": 4},
}


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"trainer": {"callbacks": [{"type": "EMAWeightAveraging", "decay": 0.9}]}},
        {"trainer": {"precision": "bf16-mixed"}},
        {"trainer": {"precision": "64-true"}},
        {"data": {"eval": {"type": "tests.core.random_rooms.NoisyBatches", "length": 11}}},
        {"data": {"num_workers": 1}},
    ],
    ids=["plain", "EMA", "bf16", "float64", "batches fetched in one call", "a worker"],
)
def test_the_figures_of_the_stage_test(
    over: dict[str, Any], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    ran = cli("fit", "--config", tiny(EVERY), "--config", tiny({"base": []} | over, "over.yaml"))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["epoch_0001", "epoch_0003"]
    for epoch, step in ((1, 10), (3, 20)):
        along = run / f"eval/epoch_{epoch:04d}"
        checkpoint = run / f"checkpoints/epoch_{epoch:04d}_step_{step:06d}.ckpt"
        assert cli("test", "--ckpt_path", str(checkpoint), "--results_dir", f"test{epoch}").code == 0
        for name in ("metrics.json", "samples.csv", "visual.png"):
            assert (along / name).read_bytes() == (tmp_path / f"test{epoch}" / name).read_bytes(), name
        assert len((along / "samples.csv").read_text().splitlines()) == 12
    logged = curves(run)["eval/accuracy"]
    assert [step for step, _ in logged] == [9, 19]
    metrics = json.loads((run / "eval/epoch_0003/metrics.json").read_text())
    assert logged[1][1] == pytest.approx(metrics["accuracy"], rel=1e-6)


def test_it_leaves_no_trace_in_the_training(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    config = tiny(EVERY)
    argv = ["--evaluation.every_n_epochs", "1", "--evaluation.at_start", "true"]
    assert cli("fit", "--config", config, "--name", "with", *argv).code == 0
    assert cli("fit", "--config", config, "--name", "without", "--evaluation", "null").code == 0
    one, two = (outcome(tmp_path / "experiments" / name) for name in ("with", "without"))
    places = {place.split("/")[0] for place in differing(one, two)}
    assert places == {".curves.eval", ".callbacks.Checkpoints.values.eval"}


def test_at_the_start_and_where_a_run_goes_on(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    evaluation = {"at_start": True, "every_n_epochs": 0, "max_samples": 5}
    config = tiny(RANDOM | {"evaluation": evaluation})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    assert len((run / "eval/step_000000/samples.csv").read_text().splitlines()) == 6
    assert cli("fit", "--resume", str(run / "checkpoints/epoch_0000_step_000003.ckpt")).code == 0
    assert sorted(path.name for path in (run / "eval").iterdir()) == ["step_000000", "step_000003"]
    assert [step for step, _ in curves(run)["eval/accuracy"]] == [0, 2]


def test_the_best_by_an_evaluation(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    monitor = {"monitor": "eval/sum", "mode": "max", "every_n_epochs": 1}
    assert cli("fit", "--config", tiny(EVERY | {"checkpoint": monitor})).code == 0
    run = tmp_path / "experiments/tiny"
    sums = {epoch: json.loads((run / f"eval/epoch_{epoch:04d}/metrics.json").read_text())["sum"] for epoch in (1, 3)}
    best = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["epoch"]
    assert best == max(sums, key=sums.__getitem__)


def test_several_sets(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    noisy = {"type": "tests.core.random_rooms.Noisy"}
    data = RANDOM["data"] | {"eval": {"a": noisy | {"length": 3}, "b": noisy | {"length": 9}}}
    config = tiny({"data": {"eval": {"type": None}}}, "several.yaml")
    ran = cli("fit", "--config", config, "--config", tiny({"base": []} | EVERY | {"data": data}))
    assert ran.code == 0, ran.err
    metrics = json.loads((tmp_path / "experiments/tiny/eval/epoch_0001/metrics.json").read_text())
    assert {"a/accuracy", "b/accuracy"} <= metrics.keys()
    assert len((tmp_path / "experiments/tiny/eval/epoch_0001/b/samples.csv").read_text().splitlines()) == 10


def test_beside_a_checkpoint_callback_of_lightnings(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """Its hook of a test batch is empty, and so taken from it."""
    callbacks = [{"type": "ModelCheckpoint", "dirpath": str(tmp_path / "own")}]
    ran = cli("fit", "--config", tiny({"evaluation": {"every_n_epochs": 1}, "trainer": {"callbacks": callbacks}}))
    assert ran.code == 0, ran.err
    assert (tmp_path / "experiments/tiny/eval/epoch_0000/metrics.json").exists()
    assert list((tmp_path / "own").glob("*.ckpt"))

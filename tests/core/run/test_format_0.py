"""A run whose checkpoints have format 0, saved before there was a header, is still loaded, tested and resumed.

The files of format_0/ are of a run of 2 epochs of 4 steps that saved every 2 steps; step 4 has the best accuracy.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from project import load
from project.core.run.checkpoint_files import load_checkpoint
from tests.conftest import CONFIGS, Cli
from tests.exactness import curves, differing, outcome

SAVED = Path(__file__).parent / "format_0"
BEST, LAST = "epoch_0000_step_000004.ckpt", "epoch_0001_step_000006.ckpt"

pytestmark = pytest.mark.usefixtures("short_names")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of the run as it was after step 6."""
    directory = tmp_path / "experiments/old/checkpoints"
    directory.mkdir(parents=True)
    for name, link in ((BEST, "best.ckpt"), (LAST, "last.ckpt")):
        shutil.copy(SAVED / name, directory)
        os.link(directory / name, directory / link)
    config = torch.load(directory / LAST, weights_only=True)["run_config"]
    (directory.parent / "config.yaml").write_text(config)
    return directory.parent


def test_header_is_read_from_the_top_of_the_content(run: Path) -> None:
    best, last = (load_checkpoint(run / "checkpoints" / name) for name in ("best.ckpt", "last.ckpt"))
    assert (best.step, best.epoch, last.step, last.epoch) == (4, 0, 6, 1)
    assert "run_header" not in last.content
    assert (last.header.format, last.header.is_resumable) == (0, True)
    assert yaml.safe_load(last.header.config)["model"]["net"]["dropout"] == 0.1
    assert dict(last.header.environment) == {"torch": "2.13.0+cpu", "CPU threads": 1}
    assert list(last.header.event_sizes.values()) == [2894]


@pytest.mark.parametrize("stage", ["test", "validate"])
def test_evaluation_has_the_metrics_of_the_weights(stage: str, run: Path, cli: Cli) -> None:
    ran = cli(stage, "--ckpt_path", "experiments/old")
    assert ran.code == 0, ran.err
    assert f"loaded weights from {Path('experiments/old/checkpoints/best.ckpt')}" in ran.err
    metrics = json.loads((run / "eval" / stage / "metrics.json").read_text())
    assert metrics.keys() == {"cross_entropy", "sum", "accuracy"}
    if stage == "validate":  # the values that were logged when the checkpoint was saved
        state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["callbacks"]["Checkpoints"]
        assert metrics["accuracy"] == pytest.approx(state["scores"][BEST], abs=0.01)
        assert metrics["sum"] == pytest.approx(state["values"]["val/sum"].item(), rel=1e-4)


def test_load_returns_the_trained_module(run: Path) -> None:
    module = load(run)
    saved = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == module.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in module.state_dict().items())
    assert not module.training
    assert module({"image": torch.zeros(3, 1, 8, 8)})["logits"].shape == (3, 10)


def test_resumed_run_ends_as_a_new_run_of_the_config(run: Path, cli: Cli, tmp_path: Path) -> None:
    """The weights are compared with a tolerance: another machine than that of the files rounds differently."""
    ran = cli("fit", "--config", str(run / "config.yaml"), "--resume", "auto")
    assert ran.code == 0, ran.err
    assert "resuming from experiments/old/checkpoints/last.ckpt (step 6, epoch 2)" in ran.err
    resumed = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert (resumed["global_step"], resumed["epoch"]) == (8, 1)

    config = ["--config", str(CONFIGS / "default.yaml"), "--config", str(run / "config.yaml")]
    ran = cli("fit", *config, "--name", "new")
    assert ran.code == 0, ran.err
    new = torch.load(tmp_path / "experiments/new/checkpoints/last.ckpt", weights_only=True)
    torch.testing.assert_close(resumed["state_dict"], new["state_dict"], rtol=1e-3, atol=1e-4)
    for name, value in torch.load(SAVED / LAST, weights_only=True)["state_dict"].items():
        assert (new["state_dict"][name] - value).abs().max() > 1e-3  # the last two steps change more than that
    inexact = differing(outcome(run), outcome(tmp_path / "experiments/new"))
    assert not [path for path in inexact if path.startswith((".loops", ".epoch", ".lr_schedulers"))]


def test_resumed_run_keeps_the_best_checkpoint_and_saves_format_1(run: Path, cli: Cli) -> None:
    score = torch.load(SAVED / LAST, weights_only=True)["callbacks"]["Checkpoints"]["scores"][BEST]
    assert cli("fit", "--resume", "experiments/old").code == 0
    assert (run / "checkpoints" / BEST).read_bytes() == (SAVED / BEST).read_bytes()
    assert (run / "checkpoints" / LAST).read_bytes() == (SAVED / LAST).read_bytes()
    saved = load_checkpoint(run / "checkpoints/epoch_0001_step_000008.ckpt")  # before the validation that follows
    assert saved.content["callbacks"]["Checkpoints"]["scores"] == {BEST: score}
    assert (saved.header.format, saved.header.is_resumable) == (1, True)
    assert not saved.content.keys() & {"resumable", "rounding", "event_sizes"}
    assert (run / "checkpoints/last.ckpt").samefile(saved.path)
    ((_, accuracy),) = curves(run)["val/accuracy"]  # of the validation after step 8
    best = saved.path.name if accuracy > score else BEST
    assert (run / "checkpoints/best.ckpt").samefile(run / "checkpoints" / best)

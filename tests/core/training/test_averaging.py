"""Until the first update of an average, the trained weights are validated, evaluated, saved and tested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.training.lightning_internals import averaging
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import curves, differing, flat, outcome

WITH_EVALUATION: dict[str, Any] = RANDOM | {
    "evaluation": {"every_n_epochs": 1, "at_start": True},
    "checkpoint": {"every_n_steps": 1, "keep": -1, "monitor": "val/sum"},
}
# Start of the average by step, by epoch, and by a class of the user; none starts in the two epochs of five steps.
NEVER: dict[str, dict[str, Any]] = {
    "step": {"type": "EMAWeightAveraging", "update_starting_at_step": 1000},
    "epoch": {"type": "EMAWeightAveraging", "update_starting_at_epoch": 7, "update_every_n_steps": 0},
    "subclass": {"type": "tests.core.random_components.EpochAverage", "first": 7},
}
Fit = Callable[..., Path]


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Fit:
    """Return a function that trains with callbacks and returns the run directory; the log is in its err.txt."""

    def run(name: str, *callbacks: dict[str, Any]) -> Path:
        over = tiny({"base": [], "trainer": {"callbacks": [*callbacks]}}, "over.yaml")
        ran = cli("fit", "--config", tiny(WITH_EVALUATION), "--config", over, "--name", name)
        assert ran.code == 0, ran.err
        (tmp_path / "experiments" / name / "err.txt").write_text(ran.err)
        return tmp_path / "experiments" / name

    return run


def saved_weights(run: Path) -> dict[str, Any]:
    """Return the weights that `test` loads, of each checkpoint."""
    files = sorted((run / "checkpoints").glob("*.ckpt"))
    return flat({file.name: torch.load(file, weights_only=True)["state_dict"] for file in files})


@pytest.mark.parametrize(
    ("start", "use_buffers"),
    [
        pytest.param("step", True, marks=pytest.mark.slow),
        ("epoch", False),
        pytest.param("subclass", True, marks=pytest.mark.slow),
    ],
)
def test_average_that_never_starts_changes_nothing(start: str, use_buffers: bool, fit: Fit, cli: Cli) -> None:
    """The net has batch normalization: its statistics are those of the training as well."""
    plain, averaged = fit("plain"), fit("averaged", NEVER[start] | {"use_buffers": use_buffers})
    assert differing(curves(plain), curves(averaged)) == []
    assert differing(saved_weights(plain), saved_weights(averaged)) == []
    # The digests of states contain the averages.
    different = differing(outcome(plain), outcome(averaged))
    assert {path for path in different if not path.startswith((".callbacks.", ".links."))} == {
        path for path in outcome(averaged) if path.startswith((".current_model_state", ".averaging_state"))
    }
    for file in ("step_000000", "epoch_0000", "epoch_0001"):
        one, two = ((run / "eval" / file / "metrics.json").read_text() for run in (plain, averaged))
        assert one == two, file
    for run in (plain, averaged):
        assert cli("test", "--ckpt_path", str(run)).code == 0
    one, two = (json.loads((run / "eval/test/metrics.json").read_text()) for run in (plain, averaged))
    assert one == two
    name = NEVER[start]["type"].rpartition(".")[2]
    warning = f"WARNING {name} averaged nothing: the training ended before its first update"
    assert (averaged / "err.txt").read_text().count(warning) == 1


def test_average_counts_from_its_first_update_on(fit: Fit) -> None:
    """The mean of one epoch's weights is these weights; the mean of two is not."""
    plain = fit("plain")
    first = fit("first", {"type": "tests.core.random_components.EpochAverage", "first": 0})
    same = {
        tag: [one == two for one, two in zip(points, curves(first)[tag], strict=True)]
        for tag, points in curves(plain).items()
    }
    assert same["train/sum"] == [True] * 10
    assert (same["val/sum"], same["eval/sum"]) == ([True, False], [True, True, False])
    weights = {run.name: saved_weights(run) for run in (plain, first)}
    name = ".epoch_0001_step_000006.ckpt.net.layers.1.weight"
    assert not torch.equal(weights["plain"][name], weights["first"][name])
    assert torch.equal(weights["plain"][".epoch_0000_step_000005.ckpt.net.layers.1.weight"], weights["first"][name])
    assert "averaged nothing" not in (first / "err.txt").read_text()


def test_without_the_private_name_the_initial_weights_count(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values above are equal because of the copies, and for no other reason."""
    monkeypatch.setattr(averaging, "is_available", lambda feature: False)
    plain, averaged = fit("plain"), fit("averaged", NEVER["step"])
    assert {path.split("/")[0] for path in differing(curves(plain), curves(averaged))} >= {"val", "eval"}

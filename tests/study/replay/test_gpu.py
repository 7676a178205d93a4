"""Steps of runs on a GPU are trained and observed again with the same bits."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import project
from project.study.replay.logged import compare_logged
from tests.conftest import Cli
from tests.core.run.test_exact_resume import RANDOM
from tests.exactness import differing
from tests.study.replay.test_kinds import checkpoint_of, trained_state
from tests.study.replay.test_observing import Observed


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_observed_steps_on_a_gpu_have_the_same_bits(
    precision: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    trainer = RANDOM["trainer"] | {"accelerator": "gpu", "devices": 1, "precision": precision}
    ran = cli("fit", "--config", tiny(RANDOM | {"trainer": trainer}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    saved = trained_state(torch.load(checkpoint_of(run, 10), map_location="cpu", weights_only=True))
    checkpoint_of(run, 10).unlink()
    observed = Observed(run, 10, None, (10,))
    assert compare_logged(run, observed.replayed).verdict == "equal"
    assert differing(trained_state(observed.replayed.states[10]), saved) == []
    assert all(each.gradient_norm for each in observed.records[10].parameters)
    step = project.replay(run, 9)
    assert step.module.device.type == step.batch["image"].device.type == "cuda"
    assert float(step.run().detach()) == step.logged["train/sum"]

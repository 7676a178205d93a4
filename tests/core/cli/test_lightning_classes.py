"""Each callback, logger, profiler, strategy and plugin of Lightning works, or is refused before the training."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Cli, slow_except
from tests.core.cli.lightning_classes import CALLBACKS, KINDS, MISSING, REFUSED, WORKING, entry, is_installed
from tests.exactness import differing, flat

# They change the weights, so they are compared with no run without them.
CHANGING = {"EMAWeightAveraging", "WeightAveraging", "DoublePrecision", "HalfPrecision", "MixedPrecision"}
ALONE = {"EMAWeightAveraging", "ModelSummary", "TQDMProgressBar"}  # callbacks of a kind that another one is also of

# The other names of strategies are refused for the same reasons.
NAMES = {"ddp_spawn", "ddp_notebook", "deepspeed_stage_2", "fsdp", "single_xla"}
DEFAULT = [(kind, name) for kind, name in REFUSED if kind in ("callback", "logger", "strategy") or name in NAMES]


@pytest.fixture(autouse=True)
def end_process_group() -> Iterator[None]:
    """End the process group that a strategy has started; otherwise, later tests would find it."""
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_lightning_exports_is_classified(kind: str) -> None:
    """Whoever installs a newer Lightning sees here what it adds."""
    assert KINDS[kind].exported == KINDS[kind].table.keys()


@pytest.mark.parametrize("case", slow_except(REFUSED, *DEFAULT), ids=" ".join)
def test_refused_before_the_training(case: tuple[str, str], cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    kind, name = case
    if is_installed(kind, name):
        pytest.skip("it works here")
    ran = cli("fit", "--config", tiny(KINDS[kind].over(name)))
    lines = ran.err[ran.err.index("error: ") :].splitlines()
    assert (ran.code, "Traceback" in ran.err, (tmp_path / "experiments").exists()) == (2, False, False), ran.err
    assert len(lines) <= 3
    message = KINDS[kind].table[name]
    assert message in lines[0] if message == MISSING else lines[0].startswith(f"error: {message}")


def test_page_lists_what_works_and_what_is_refused() -> None:
    text = (Path(__file__).parents[3] / "docs/lightning.md").read_text(encoding="utf-8")
    works, refused, _ = re.split(r"^\| \| work \|$|^\| refused .*$|^- ", text, maxsplit=3, flags=re.M)[1:]
    kinds = ("callback", "strategy", "profiler", "plugin")
    assert {name for kind, name in WORKING if kind in kinds} <= set(re.findall(r"`(\w+)`", works))
    named = {name for kind, name in REFUSED if kind == "callback"}
    assert named <= set(re.findall(r"`(\w+)`", refused))


def test_callbacks_that_fit_together_train_and_resume(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    package = KINDS["callback"].package
    callbacks = [entry(package, name, given) for name, given in CALLBACKS.items() if _fits(name)]
    assert len(callbacks) == 12
    loggers = [entry(KINDS["logger"].package, name, {}) for name in ("CSVLogger", "TensorBoardLogger")]
    ran = cli("fit", "--config", tiny({"trainer": {"callbacks": callbacks, "logger": loggers}}))
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    assert (run / "note.txt").read_text() == "2"
    assert sorted(path.name for path in (run / "event/checkpoints").iterdir()) == ["epoch=0-step=2.ckpt", "last.ckpt"]
    ran = cli("fit", "--resume", "experiments/tiny", "--trust", "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert (run / "note.txt").read_text() == "4"


@pytest.mark.slow
@pytest.mark.parametrize("case", WORKING, ids=" ".join)
def test_works_in_each_stage_and_resumes(
    case: tuple[str, str], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """What does not change the training ends with the weights of a run without it."""
    kind, name = case
    config = tiny(KINDS[kind].over(name))
    for run, epochs in (("straight", "3"), ("tiny", "2")):
        ran = cli("fit", "--config", config, "--name", run, "--trainer.max_epochs", epochs)
        assert ran.code == 0, ran.err
    for stage in ("validate", "test", "predict"):
        ran = cli(stage, "--ckpt_path", "experiments/tiny", "--trust")  # functions of the yaml
        assert ran.code == 0, ran.err
    ran = cli("fit", "--resume", "experiments/tiny", "--trust", "--trainer.max_epochs", "3")
    assert ran.code == 0, ran.err
    straight = weights(tmp_path / "experiments/straight")
    assert differing(straight, weights(tmp_path / "experiments/tiny")) == []
    if name not in CHANGING and kind not in ("precision", "accelerator"):
        assert cli("fit", "--config", tiny({}), "--name", "plain", "--trainer.max_epochs", "3").code == 0
        assert differing(straight, weights(tmp_path / "experiments/plain")) == []


def _fits(name: str) -> bool:
    return ("callback", name) in WORKING and name not in ALONE


def weights(run: Path) -> dict[str, Any]:
    """Return the weights of a run's last checkpoint."""
    return flat(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])

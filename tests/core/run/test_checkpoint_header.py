"""Header of checkpoints: what is written is read again, older formats are read, newer ones are refused."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from project.core.run.checkpoint_header import FORMAT, CheckpointHeader, numeric_environment, read_header
from tests.conftest import Cli

FILE = Path("last.ckpt")
INPUTS, CLASSES = {"image": {"kind": "picture", "channels": 3, "size": None}}, {"label": ["dark", "bright"]}
POINTS: dict[str, tuple[int | None, Any]] = {"train/sum": (3, 0.5)}


@pytest.mark.parametrize("is_resumable", [True, False])
def test_header_is_read_as_it_was_added(is_resumable: bool) -> None:
    environment: dict[str, str | int] = {"torch": "2.13", "CPU threads": 2}
    loggers = {"metrics.csv": {"rows": 3}}
    header = CheckpointHeader(
        "name: x\n", is_resumable, {"events.1": 88}, environment, POINTS, 12, loggers, INPUTS, CLASSES
    )
    content: dict[str, Any] = {"epoch": 3}
    header.add_to(content)
    assert read_header(content, FILE) == header
    assert header.format == FORMAT == 1
    assert content == {
        "epoch": 3,
        "run_config": "name: x\n",
        "run_header": {
            "format": 1,
            "resumable": is_resumable,
            "event_sizes": {"events.1": 88},
            "rounding": {"torch": "2.13", "CPU threads": 2},
            "last_points": POINTS,
            "log_size": 12,
            "loggers": {"metrics.csv": {"rows": 3}},
            "inputs": INPUTS,
            "classes": CLASSES,
        },
    }


def test_content_without_header_is_read_as_format_0() -> None:
    """Format 0 has all values at the top of the content; a checkpoint of ModelCheckpoint has no `resumable`."""
    old = {"run_config": "a: 1\n", "resumable": True, "event_sizes": {"events.1": 5}, "rounding": {"CPU threads": 1}}
    assert read_header(old, FILE) == CheckpointHeader("a: 1\n", True, {"events.1": 5}, {"CPU threads": 1}, format=0)
    assert read_header({"run_config": "a: 1\n"}, FILE) == CheckpointHeader("a: 1\n", False, format=0)


def test_numeric_environment_has_what_sums_are_rounded_by() -> None:
    assert numeric_environment() == {"torch": torch.__version__, "CPU threads": torch.get_num_threads()}


def test_newer_format_is_refused_in_one_line_and_no_earlier_checkpoint_is_taken(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config = tiny({"checkpoint": {"every_n_steps": 1, "keep": -1}})
    assert cli("fit", "--config", config).code == 0
    run = tmp_path / "experiments/tiny"
    last = run / "checkpoints/last.ckpt"
    shutil.copy(last, tmp_path / "newer.ckpt")
    last.unlink()  # a hard link to the best checkpoint
    content = torch.load(tmp_path / "newer.ckpt", weights_only=True)
    content["run_header"]["format"] = 2
    torch.save(content, last)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    reason = "has format 2, but this version of the engine reads formats up to 1; use the version that saved it"
    for argv in (("fit", "--config", config, "--resume", "auto"), ("test", "--ckpt_path", str(last))):
        ran = cli(*argv)
        shown = last.relative_to(tmp_path) if "auto" in argv else last
        assert (ran.code, ran.err.splitlines()) == (2, [f"error: checkpoint {shown} {reason}"])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_saved_header_has_config_sizes_of_event_files_and_environment(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    run = tmp_path / "experiments/tiny"
    header = read_header(torch.load(run / "checkpoints/last.ckpt", weights_only=True), FILE)
    assert (header.format, header.is_resumable) == (1, True)
    assert header.config == (run / "config.yaml").read_text()
    assert header.environment == numeric_environment()
    (file,) = (run / "event").glob("events*")
    assert 0 < header.event_sizes[file.name] <= file.stat().st_size
    log = (run / "log.txt").read_bytes()
    assert log[: header.log_size].endswith(f"the run directory is {run}\n".encode())


def test_changed_environment_is_a_warning(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny()).code == 0
    path = tmp_path / "experiments/tiny/checkpoints/last.ckpt"
    content = torch.load(path, weights_only=True)
    content["run_header"]["rounding"] = {"torch": "2.0", "CPU threads": torch.get_num_threads()}
    path.unlink()
    torch.save(content, path)
    ran = cli("fit", "--resume", str(path), "--trainer.max_epochs", "2")
    assert ran.code == 0, ran.err
    assert f"torch was 2.0 and is {torch.__version__}: results may differ by rounding" in ran.err
    assert "CPU threads was" not in ran.err
    saved = torch.load(path, weights_only=True)
    assert saved["run_header"]["rounding"]["torch"] == torch.__version__
    assert all(math.isfinite(value.sum()) for value in saved["state_dict"].values())

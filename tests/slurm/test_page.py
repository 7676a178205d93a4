"""Tests of docs/cluster.md: runs its commands in order and checks their results."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.exactness import differing, outcome
from tests.slurm.conftest import ROOT, Slurm

pytestmark = pytest.mark.slurm


def shorten_training(folder: Path) -> None:
    """Replace the link to the configurations with a copy in which the digits are trained for 3 epochs."""
    (folder / "configs").unlink()
    shutil.copytree(ROOT / "configs", folder / "configs")
    digits = folder / "configs/digits.yaml"
    digits.write_text(re.sub("max_epochs: [0-9]+", "max_epochs: 3", digits.read_text()))


def test_commands_of_the_page(slurm: Slurm) -> None:
    shorten_training(slurm.folder)
    text = (ROOT / "docs/cluster.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    shown = ""
    for command in (shlex.split(line) for kind, block in blocks if kind == "bash" for line in block.splitlines()):
        if command[0] != "sbatch":
            shown = slurm.call(*command, seconds=200)
            continue
        if "scripts/sweep.sh" in command:
            continue  # test_sweep.py submits it, with fewer tasks
        job = slurm.submit(*command[1:], script="")
        for task in ("_1", "_2") if any(word.startswith("--array") for word in command) else ("",):
            assert slurm.wait(job + task)["JobState"] == "COMPLETED", slurm.output(job)
    assert [block for kind, block in blocks if not kind] == [shown]
    experiments = slurm.folder / "experiments"
    runs = ["processes", "torchrun", "digits", "digits_rerun", "seed_1", "seed_2"]
    assert sorted(path.name for path in experiments.iterdir()) == sorted([*runs, "check_slurm"])
    differences = differing(*(outcome(experiments / name) for name in ("digits", "digits_rerun")))
    assert not [path for path in differences if path.startswith(".state_dict")]
    for number in (1, 2):
        assert f"\nseed: {number}\n" in (experiments / f"seed_{number}/config.yaml").read_text()
    assert len((experiments / "digits/eval/test/samples.csv").read_text().splitlines()) == 1 + 261

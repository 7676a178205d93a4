"""docs/cluster.md: its commands, in their order, and what they are said to do."""

import re
import shlex

import pytest

from tests.exactness import differing, outcome
from tests.slurm.conftest import ROOT, Slurm

pytestmark = pytest.mark.slurm


def test_the_page(slurm: Slurm) -> None:
    text = (ROOT / "docs/cluster.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    shown = ""
    for command in (shlex.split(line) for kind, block in blocks if kind == "bash" for line in block.splitlines()):
        if command[0] != "sbatch":
            shown = slurm.call(*command, seconds=200)
            continue
        job = slurm.submit(*command[1:], script="")
        for task in ("_1", "_2") if any(word.startswith("--array") for word in command) else ("",):
            assert slurm.wait(job + task)["JobState"] == "COMPLETED", slurm.output(job)
    assert [block for kind, block in blocks if not kind] == [shown]
    experiments = slurm.folder / "experiments"
    runs = ["processes", "torchrun", "digits", "digits_rerun", "seed_1", "seed_2"]
    assert sorted(path.name for path in experiments.iterdir()) == sorted([*runs, "check_slurm"])
    differences = differing(*(outcome(experiments / name) for name in ("digits", "digits_rerun")))
    assert not [place for place in differences if place.startswith(".state_dict")]
    for task in (1, 2):
        assert f"\nseed: {task}\n" in (experiments / f"seed_{task}/config.yaml").read_text()
    assert len((experiments / "digits/eval/test/samples.csv").read_text().splitlines()) == 1 + 261

"""A mistake in a verification gets one to three lines, and leaves no files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.study.verify.conftest import Verify

Case = dict[str, Any]
CASES: list[Case] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["mistake"] for case in CASES])
def test_mistake_gets_its_message_and_leaves_no_files(case: Case, verify: Verify, run: Path) -> None:
    for pattern in case.get("remove", []):
        for path in run.glob(pattern):
            path.unlink()
    for name, text in case.get("write", {}).items():
        (run / name).write_text(text)
    before = sorted(run.rglob("*"))
    ran = verify(*case["argv"].replace("RUN", str(run)).split())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: " + case["message"].replace("RUN", str(run)).replace(
        f"cli.py verify {run}", "cli.py verify RUN"
    )
    assert sorted(run.rglob("*")) == before


def test_run_from_a_stranger_names_no_class_without_trust(verify: Verify, run: Path) -> None:
    """Its checkpoints are as safe: only plain data is loaded."""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("tests.components.MLP", "subprocess.Popen"))
    ran = verify(run, "--steps", "all")
    assert ran.code == 2
    assert "subprocess.Popen" in ran.err

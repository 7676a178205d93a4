"""A mistake in a verification gets one to three lines, and leaves no files."""

import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.study.verify.comparing import StateComparison
from project.study.verify.known_states import read_record
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_verification_and_leaves_no_files(
    number: signal.Signals, code: int, verify: Verify, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(StateComparison, "after_batch", lambda *_: signal.raise_signal(number))
    before = sorted(tmp_path.rglob("*"))
    ran = verify(run, "--trust")
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "text",
    ['{"step": 2, "epoch": 1, "digest": "\\ud800", "link": "0"}', "[" * 100_000, "9" * 10_000, "\x00", '{"step": NaN}'],
    ids=["surrogate", "deep", "long number", "NUL", "NaN"],
)
def test_damaged_chain_is_a_contradiction(text: str, run: Path) -> None:
    """It is no exception, whatever is in the file."""
    (run / "states.jsonl").write_text(f"{text}\n")
    assert read_record(run).problems[0].startswith(f"{run}/states.jsonl is damaged in line 1: ")


def test_run_from_a_stranger_names_no_class_without_trust(verify: Verify, run: Path) -> None:
    """Its checkpoints are as safe: only plain data is loaded."""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("tests.components.MLP", "subprocess.Popen"))
    ran = verify(run, "--steps", "all")
    assert ran.code == 2
    assert "subprocess.Popen" in ran.err

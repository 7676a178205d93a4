"""A mistake in the command `golden` gets one to three lines, and leaves no files; so does a signal."""

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.commands import main
from project.study.golden.training import LossRecorder

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["mistake"] for case in CASES])
def test_mistake_gets_its_message_and_leaves_no_files(
    case: dict[str, Any],
    tiny: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny({})
    for name, text in case.get("write", {}).items():
        Path(name).parent.mkdir()
        Path(name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    code = main(["golden", *case["argv"].split()])
    out, err = capfd.readouterr()
    assert (code, out, err) == (2, "", f"error: {case['message']}")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_it_and_leaves_no_files(
    number: signal.Signals,
    code: int,
    tiny: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(LossRecorder, "on_before_backward", lambda *_: signal.raise_signal(number))
    tiny({})
    before = sorted(tmp_path.rglob("*"))
    assert main(["golden", "tiny.yaml"]) == code
    assert "Traceback" not in capfd.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before

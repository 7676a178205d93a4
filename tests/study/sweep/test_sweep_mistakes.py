"""A mistake in a sweep gets one to three lines before anything is trained, and leaves no files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from project.study.sweep.command import main

Case = dict[str, Any]
CASES: list[Case] = yaml.safe_load((Path(__file__).parent / "mistakes.yaml").read_text())
SWEEP = "{grid: {model.optimizer.lr: [1e-3]}}"


@pytest.mark.usefixtures("short_names")
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.slow] if "slow" in case else []) for case in CASES],
    ids=[case["mistake"] for case in CASES],
)
def test_mistake_gets_its_message_and_leaves_no_files(
    case: Case,
    tiny: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for package in case.get("needs", []):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    tiny(case.get("yaml"))
    (tmp_path / "lr.yaml").write_text(case.get("sweep", SWEEP))
    before = sorted(tmp_path.rglob("*"))
    argv = case.get("argv", "sweep --config TMP/tiny.yaml --sweep TMP/lr.yaml") + " " + case.get("more", "")
    code = main(argv.replace("TMP", str(tmp_path)).split())
    out, err = capfd.readouterr()
    assert (code, out) == (2, "")
    assert err == "error: " + case["message"].replace("TMP", str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before

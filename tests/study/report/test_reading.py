"""Runs are read again only if their files have changed."""

import shutil
from pathlib import Path

import pytest

from project.study import runs
from project.study.report import reading
from project.study.report.reading import RunReader, stamp_run
from project.study.runs import RunRow
from tests.study.made_runs import add_points, make_run


def test_only_changed_runs_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (make_run(tmp_path / name, {"seed": 0}, {"val/accuracy": [0.1]}) for name in ("one", "other"))
    read: list[str] = []

    def read_run(run: Path) -> RunRow:
        read.append(run.name)
        return runs.read_run(run)

    monkeypatch.setattr(reading, "read_run", read_run)
    reader = RunReader()
    for run in (one, other, one, other):
        assert reader.read(run)[1]["val/accuracy"][1].tolist() == pytest.approx([0.1])
    add_points(one, {"val/accuracy": [0.2]}, first=1)
    assert reader.read(one)[1]["val/accuracy"][1].tolist() == pytest.approx([0.1, 0.2])
    reader.read(other)
    assert read == ["one", "other", "one"]
    reader.keep([one])
    reader.read(other)
    assert read == ["one", "other", "one", "other"]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("summary.json", True),
        ("event/events.out.tfevents.2", True),
        ("eval/test/metrics.json", True),
        ("progress/val/epoch_0001.png", True),
        ("report.html", False),
        ("checkpoints/last.ckpt", False),
        (".lock", False),
    ],
)
def test_stamp_changes_with_the_files_that_a_page_shows(tmp_path: Path, name: str, changes: bool) -> None:
    run = make_run(tmp_path / "run", {"seed": 0})
    before = stamp_run(run)
    file = run / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("new")
    assert (stamp_run(run) != before) == changes


def test_a_deleted_run_has_a_stamp_and_a_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"seed": 0}, {"val/accuracy": [0.1]})
    shutil.rmtree(run)
    assert stamp_run(run) == ""
    row, curves = RunReader().read(run)
    assert (row.state, curves) == ("unknown", {})

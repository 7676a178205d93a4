"""Tests of the page of a run."""

import base64
import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from project.study.report import run_page as module
from project.study.report.run_page import run_page
from tests.conftest import slow_except
from tests.study.report.run_files import make_curves, write_files, write_picture, write_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run directory with everything."""
    monkeypatch.setattr(module, "read_curves", lambda run, problems: make_curves())
    return write_run(tmp_path / "run")


def read_data(page: str) -> Any:
    packed = re.search(r'id="data"[^>]*>([^<]*)<', page)
    assert packed is not None
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def test_page_shows_all_that_a_run_keeps(run: Path) -> None:
    page = run_page(run)
    titles = [title.partition("<")[0] for title in re.findall("<h2>(.*?)</h2>", page)]
    assert titles == [
        *(
            "Curves",
            "Metrics",
            "Results of test",
            "Pictures of val by epoch",
            "Settings",
            "Speed",
            "Environment",
            "Log",
        ),
        "Changes since the commit",
    ]
    assert re.findall("<dt>([^<]*)</dt><dd>([^<]*)", page)[:6] == [
        *(("best val/accuracy", "0.75"), ("at step", "20 "), ("test/hinge", "1.25"), ("test/l1", "0.5")),
        *(("test/accuracy", "0.6667"), ("training time", "6 s")),
    ]
    assert 'class="state finished">finished<' in page
    assert 'class="problem"' not in page.partition("<script")[0]
    data = read_data(page)
    assert (data["kind"], data["mark"]) == ("run", 20)
    assert [*data["curves"]] == ["train/hinge", "val/hinge", "val/accuracy", "lr-SGD"]
    assert [picture["name"] for picture in data["pictures"]["val"]] == [f"epoch {n}, step {10 * n}" for n in (1, 2, 3)]
    assert len(page) < 100_000


def test_page_of_a_run_that_has_just_started(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_curves", lambda run, problems: {})
    for path in [path for path in run.iterdir() if path.name not in ("config.yaml", "summary.json")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = run_page(run)
    assert "No values were logged yet." in page
    assert 'class="problem"' not in page.partition("<script")[0]


DAMAGED = (
    *("given.yaml", "environment.json", "git.diff", "log.txt", "eval/test/metrics.json", "eval/test/samples.csv"),
    *("eval/test/confusion_matrix.json", "eval/test/visual.png", "eval/test/samples/000000.png"),
    "progress/val/epoch_0002_step_000030.png",
)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("how", slow_except(["half", "empty", "bytes", "directory"], "half", "directory"))
def test_damaged_file_is_said_or_left_out(run: Path, name: str, how: str) -> None:
    """Half-written files, and others than expected, make no page fail."""
    path, data = run / name, (run / name).read_bytes()
    path.unlink()
    if how == "directory":
        path.mkdir()
    else:
        path.write_bytes({"half": data[: len(data) // 2], "empty": b"", "bytes": bytes(range(256))}[how])
    page = run_page(run)
    assert "<h2>Settings" in page
    is_text = name in ("git.diff", "log.txt", "eval/test/samples.csv", "given.yaml")
    if not is_text or (how == "directory" and name != "eval/test/samples.csv"):
        assert 'class="problem">' in page.partition("<script")[0]
        assert path.name.partition(".")[0] in page.split('class="problem">', 1)[1].partition("<section")[0]


def test_thousands_of_pictures_are_limited(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PICTURES", 4)
    for epoch in range(3, 60):
        shutil.copy(
            run / "progress/val/epoch_0000_step_000010.png",
            run / f"progress/val/epoch_{epoch:04d}_step_{epoch:06d}9.png",
        )
    page = run_page(run)
    assert "4 of 60 epochs" in page
    assert len(read_data(page)["pictures"]["val"]) == 4
    for index in range(8):
        write_picture(run / f"progress/set{index}/epoch_0000_step_000010.png")
    assert "pictures of 3 more directories in progress are left out" in run_page(run)


def test_many_problems_are_counted(run: Path) -> None:
    write_files(run, {f"eval/epoch_{index:04d}/metrics.json": "{" for index in range(30)})
    page = run_page(run)
    assert "more problems are left out" in page
    assert page.partition("<script")[0].count('class="problem"') == 21

"""The page of many runs, without a browser."""

import base64
import gzip
import html
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from project.core.errors import ConfigError
from project.study.report.root_data import average
from project.study.report.root_page import root_page
from tests.conftest import slow_except
from tests.study.made_runs import make_run, make_study

LR = "model.optimizer.lr"


def read_data(text: str) -> dict[str, Any]:
    """Return what the scripts of a page read."""
    found = re.search(r'id="data">([^<]*)<', text)
    assert found is not None
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return data


def read_table(text: str, name: str) -> list[list[str]]:
    """Return the texts of the cells of a table."""
    found = re.search(rf'<table id="{name}".*?</table>', text, re.S)
    assert found is not None
    rows = re.findall(r"<tr>(.*?)</tr>", found[0], re.S)
    return [
        [html.unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)] for row in rows
    ]


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Two learning rates with three seeds, of which one run failed."""
    for number, lr in enumerate((0.1, 0.01)):
        for seed in range(3):
            accuracy = 0.5 + 0.1 * number + 0.01 * seed * (1 + number)
            failed = (number, seed) == (0, 2)
            make_run(
                tmp_path / f"grid/{number}_seed{seed}",
                {LR: lr, "seed": seed, "model.loss.l1.weight": 1.0},
                {"val/accuracy": [0.1, accuracy], "val/l1": [2.0, 1.0], "val/sum": [2.0, 1.0]},
                None if failed else {"accuracy": accuracy, "l1": 1 - accuracy, "sum": 1 - accuracy},
                "failed" if failed else "finished",
                60.0,
                "it broke" if failed else None,
            )
    return tmp_path / "grid"


def test_groups_have_means_and_paired_differences(grid: Path) -> None:
    """The failed run is in no mean; with two pairs, half an interval is 12.7 standard errors."""
    text = root_page(grid)
    head, *rows = read_table(text, "groups")
    assert head == ["lr", "runs", "best val/accuracy", "test/accuracy", "test/l1", "Δ test/accuracy"]
    assert [row[:5] for row in rows] == [
        ["0.01", "3", "0.620 ± 0.020", "0.620 ± 0.020", "0.380 ± 0.020"],
        ["0.1", "2 of 3", "0.5050 ± 0.0071", "0.5050 ± 0.0071", "0.4950 ± 0.0071"],
    ]
    assert [row[5] for row in rows] == ["baseline", "-0.105 [-0.169, -0.041]"]
    assert "Δ: difference to lr=0.01, paired by seed, 95 % interval" in text
    # Which values are better is known of the monitored metric and of losses.
    assert len(re.findall("data-best>", text)) == 3


def test_runs_that_do_not_count_are_named(grid: Path) -> None:
    text = root_page(grid)
    assert "Not in the means below: 1 failed" in text
    assert "it broke" in text
    assert ["0_seed2", "failed", "0.1", "2", "0.52", "—", "—", "1 min 0 s"] in read_table(text, "runs")


def test_data_has_settings_metrics_and_curves(grid: Path) -> None:
    data = read_data(root_page(grid))
    assert [each["name"] for each in data["runs"]] == [f"{n}_seed{seed}" for n in range(2) for seed in range(3)]
    assert data["groups"] == ["lr=0.01", "lr=0.1"]
    assert [run["group"] for run in data["runs"]] == [1, 1, 1, 0, 0, 0]
    assert {each["name"]: each["values"] for each in data["settings"]} == {
        "seed": [0, 1, 2, 0, 1, 2],
        "lr": [0.1] * 3 + [0.01] * 3,
    }
    assert data["repetitions"] == ["seed"]
    assert data["metrics"][1]["values"] == [0.5, 0.51, None, 0.6, 0.62, 0.64]
    assert data["modes"] == {"best val/accuracy": "max", "test/accuracy": "max", "test/l1": "min"}
    assert (data["target"], data["important"]) == ("test/accuracy", [])
    assert data["axes"] == [[10, 20]]
    assert data["curves"].keys() == {"val/accuracy", "val/l1"}  # the sum of a single loss is a copy of it
    assert data["curves"]["val/accuracy"][4] == [0, [0.1, 0.62]]


def test_names_lead_to_pages_of_runs_unless_served(grid: Path) -> None:
    (grid / "0_seed1/report.html").write_text("")
    moved = (grid / "0_seed0").rename(grid / "a #1&2")
    (moved / "report.html").write_text("")
    links = re.findall(r'href="(.*?)"', root_page(grid))
    assert sorted(links) == ["./0_seed1/report.html", "./a%20%231%262/report.html"]


def test_every_text_is_escaped(tmp_path: Path) -> None:
    """Names of runs, settings, values, metrics and reasons become no markup."""
    evil = "<img src=x onerror=alert(1)>\"'&</script>"
    for seed in range(2):
        settings = {f"model.{evil}": f"{evil}{seed}", "seed": seed}
        curves = {"val/accuracy": [0.5], f"val/{evil}": [1.0]}
        make_run(tmp_path / f"a<b>{seed}", settings, curves, {evil: 1.0}, "pruned" if seed else "finished", reason=evil)
    text = root_page(tmp_path)
    assert "<img" not in text
    assert "alert(1)" in text
    assert "<b>0" not in text
    assert text.count("</script>") == 2


@pytest.mark.parametrize("count", slow_except([1, 2], 2))
@pytest.mark.parametrize("state", ["finished", "failed", "running", "unknown"])
@pytest.mark.parametrize("points", [[], [math.nan], [math.nan, math.inf, 1e300], [0.5]])
def test_few_runs_with_odd_values_have_a_page(tmp_path: Path, count: int, state: str, points: list[float]) -> None:
    """Also runs that do not differ, and that have no metric."""
    for number in range(count):
        make_run(tmp_path / f"run{number}", {"seed": 0}, {"val/accuracy": points}, state=state)
    text = root_page(tmp_path)
    data = read_data(text)
    assert len(data["runs"]) == count
    assert data["settings"] == []
    assert data["groups"] == ["all"]
    assert len(read_table(text, "runs")) == count + 1


def test_runs_of_a_sweep_that_failed_before_they_had_a_directory_are_told(grid: Path) -> None:
    (grid / ".sweep").mkdir()
    (grid / ".sweep/9.json").write_text(json.dumps({"state": "failed", "reason": "no such net"}))
    text = root_page(grid)
    assert "<td>no such net</td>" in text
    assert "9" in [row[0] for row in read_table(text, "runs")]


def test_a_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="contains no run"):
        root_page(tmp_path)


def test_settings_that_mattered_need_enough_runs(tmp_path: Path) -> None:
    make_study(tmp_path / "few", 6, points=2)
    assert "What mattered" not in root_page(tmp_path / "few")
    make_study(tmp_path / "many", 24, points=2)
    text = root_page(tmp_path / "many")
    assert re.search(r"among 2\d runs", text)
    assert "not that they caused it" in text
    assert read_data(text)["important"][0] == "lr"
    # A line for each run says it all.
    assert 'id="groups"' not in text


def test_nine_runs_are_small(tmp_path: Path) -> None:
    make_study(tmp_path, 9, points=40, names=6, repeats=3)
    assert len(root_page(tmp_path)) < 100_000


@pytest.mark.slow
def test_a_hundred_runs_are_below_two_megabytes(tmp_path: Path) -> None:
    make_study(tmp_path, 100, points=2000, names=20)
    assert len(root_page(tmp_path)) < 2_000_000


def test_long_curves_become_means_of_stretches() -> None:
    steps, values = average(np.arange(6), np.array([0.0, 2, 4, 6, 8, np.inf]), 3)
    assert (steps.tolist(), values.tolist()) == ([1, 3, 5], [1, 5, math.inf])
    steps, values = average(np.array([3, 1, 2]), np.array([30.0, 10, 20]), 3)
    assert (steps.tolist(), values.tolist()) == ([1, 2, 3], [10, 20, 30])


def test_column_of_numbers_is_aligned_also_where_it_has_none(tmp_path: Path) -> None:
    """A setting that is null, or that a run lacks, is below the numbers of the others; texts are at the left."""
    runs: list[dict[str, Any]] = [{LR: 0.1, "a": 1, "b": "x"}, {LR: None, "a": 2, "b": 3}, {"a": 3, "b": "y"}]
    for number, settings in enumerate(runs):
        make_run(tmp_path / f"{number}", settings, {"val/accuracy": [0.5]})
    table = root_page(tmp_path).split('id="runs"')[1].split("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table.split("<tbody>")[1])
    for text in ("0.1", "null", "—"):
        assert any(re.search(rf'<td class="number"[^>]*>{text}</td>', row) for row in rows)
    assert len(re.findall(r"<td(?: data-v=\"3\")?>(?:x|y|3)</td>", table)) == 3

"""The page of many runs in a browser: sorting, filtering, brushing, curves."""

import re
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from project.study.report.root_page import root_page
from tests.study.conftest import Show
from tests.study.made_runs import make_run, make_study
from tests.study.report.root_pages import DEPTH, LR, choose, shown_runs

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def test_headings_sort_and_say_so(root: Path, show: Show) -> None:
    page = show(root_page(root))
    button = page.locator("#runs thead button", has_text="test/accuracy")
    button.focus()
    page.keyboard.press("Enter")
    assert shown_runs(page) == ["0_seed0", "0_seed1", "2_seed0", "1_seed0", "1_seed1", "2_seed1"]
    assert page.locator("#runs th[aria-sort]").evaluate_all(
        "all => all.map(each => [each.innerText.split(' ')[0], each.ariaSort])"
    ) == [["test/accuracy", "ascending"]]
    page.keyboard.press("Enter")
    # A run without a value stays last.
    assert shown_runs(page) == ["1_seed1", "1_seed0", "2_seed0", "0_seed1", "0_seed0", "2_seed1"]
    page.locator("#groups thead button", has_text="lr").click()
    page.locator("#groups thead button", has_text="lr").click()
    assert page.locator("#groups tbody th").all_inner_texts() == ["0.1", "0.01", "0.001"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("seed1", ["0_seed1", "1_seed1", "2_seed1"]),
        ("lr>=0.01 seed=0", ["1_seed0", "2_seed0"]),
        ("model.optimizer.lr=0.001|0.1 seed!=0", ["0_seed1", "2_seed1"]),
        ("test/accuracy>0.7", ["1_seed0", "1_seed1"]),
        ("test/accuracy=—", ["2_seed1"]),
        ("state=RUNNING", ["2_seed1"]),
        ("unknown=3", []),
        ('"2_seed0"', ["2_seed0"]),
        ("lr>=x", []),
        ("<b>", []),
    ],
)
def test_filter_hides_runs(root: Path, show: Show, words: str, expected: list[str]) -> None:
    page = show(root_page(root))
    page.locator("#words").fill(words)
    assert shown_runs(page) == expected
    assert page.locator("#count").inner_text() == f"{len(expected)} of 6 runs"
    page.locator("#clear").click()
    assert len(shown_runs(page)) == 6
    assert page.locator("#count").inner_text() == "all 6 runs"


def test_brushing_an_axis_filters_runs(root: Path, show: Show) -> None:
    """By mouse and by keys; the filter says what was brushed, and other words of it are kept."""
    page = show(root_page(root))
    page.locator("#words").fill("seed=0")
    axis = page.locator("#parallel [role=slider]").first
    axis.scroll_into_view_if_needed()
    area = axis.bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + 15, area["y"] + 2)
    page.mouse.down()
    page.mouse.move(area["x"] + 15, area["y"] + area["height"] * 0.6, steps=4)
    page.mouse.up()
    assert page.locator("#words").input_value() == "seed=0 lr>=0.01 lr<=0.1"
    assert shown_runs(page) == ["1_seed0", "2_seed0"]
    page.mouse.click(area["x"] + 15, area["y"] + 50)
    assert page.locator("#words").input_value() == "seed=0"
    axis.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.locator("#words").input_value() == "seed=0 lr=0.01"
    assert page.locator("#parallel [role=slider]").first.get_attribute("aria-valuetext") == "0.01"
    page.keyboard.press("Escape")
    assert page.locator("#words").input_value() == "seed=0"


def curve_count(page: "Page", title: str = "val/accuracy") -> int:
    """Return the number of lines in a chart, without bands."""
    return page.locator(".chart", has=page.locator("h3", has_text=title)).locator("path[stroke-width='1.9']").count()


def test_curves_follow_filter_legend_and_choices(root: Path, show: Show) -> None:
    page = show(root_page(root))
    page.locator(".chart").first.scroll_into_view_if_needed()
    assert curve_count(page) == 3
    choose(page, "show", "each run")
    assert curve_count(page) == 5
    page.get_by_label("unfinished runs").check()
    assert curve_count(page) == 6
    page.locator("#words").fill("seed=0")
    assert curve_count(page) == 3
    button = page.locator("#legend button", has_text="lr=0.01")
    button.click()
    assert curve_count(page) == 2
    assert page.locator("#legend button", has_text="lr=0.01").first.get_attribute("aria-pressed") == "false"
    choose(page, "colour by", "seed")
    assert page.locator("#legend button").all_inner_texts() == ["seed=0", "seed=1"]
    choose(page, "metric", "val/l1")
    assert page.locator(".chart:visible h3").all_inner_texts() == ["val/l1"]


def test_mean_and_band_have_the_right_values(tmp_path: Path, show: Show) -> None:
    """Runs of different length: each mean is over the runs that have a value there, between points linear."""
    make_run(tmp_path / "a", {"seed": 0}, {"val/accuracy": [1, 2, 3, 4]})
    make_run(tmp_path / "b", {"seed": 1}, {"val/accuracy": [3, 6]})
    page = show(root_page(tmp_path))
    plot = page.locator(".plot").first
    plot.focus()
    seen = []
    page.keyboard.press("Home")
    for _ in range(4):
        seen.append(page.locator(".readings").inner_text().split("\n")[-1])
        page.keyboard.press("ArrowRight")
    assert seen == ["2 ± 1.4", "4 ± 2.8", "3 ± 0", "4 ± 0"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious(tmp_path: Path, show: Show, scheme: Literal["light", "dark"], width: int) -> None:
    make_study(tmp_path, 12, points=5, repeats=2)
    page = show(root_page(tmp_path), width=width, color_scheme=scheme)
    page.locator("#runs thead button").first.click()
    page.locator("#words").fill("lr>0.0001")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("async () => (await axe.run({resultTypes: ['violations']})).violations")
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


def test_tables_are_readable_without_scripts(root: Path, show: Show) -> None:
    page = show(root_page(root), java_script_enabled=False)
    assert len(shown_runs(page)) == 6
    assert page.locator("#groups tbody tr").count() == 3
    assert page.locator("noscript").is_visible()


def test_redraw_of_a_hundred_runs_is_quick(tmp_path: Path, show: Show) -> None:
    """A third of a second on an idle core; the limit allows for others that run at the same time."""
    make_study(tmp_path, 100, points=100, names=6)
    page = show(root_page(tmp_path))
    page.locator(".chart").first.scroll_into_view_if_needed()
    choose(page, "show", "each run")
    seconds = page.evaluate(
        """() => {
            const words = document.getElementById("words"), start = performance.now();
            words.value = "lr>0.001";
            words.dispatchEvent(new Event("input"));
            document.body.getBoundingClientRect();
            return (performance.now() - start) / 1000;
        }"""
    )
    assert seconds < 1


def test_texts_are_on_an_axis_with_numbers(tmp_path: Path, show: Show) -> None:
    """A setting that is null in some runs has a place for it, which can be chosen."""
    for number, clip in enumerate((None, 0.5, 1.0, "auto")):
        settings = {"seed": 0, "trainer.clip": clip}
        make_run(tmp_path / f"run{number}", settings, {"val/accuracy": [0.1 * number]})
    page = show(root_page(tmp_path))
    axis = page.locator("#parallel [role=slider]").first
    axis.focus()
    for words, expected in (("clip=0.5", "run1"), ("clip=1", "run2"), ("clip=auto", "run3"), ("clip=null", "run0")):
        page.keyboard.press("ArrowUp")
        assert page.locator("#words").input_value() == words
        assert shown_runs(page) == [expected]
    lines = page.locator("#parallel path").evaluate_all("all => all.map(each => each.getAttribute('d'))")
    starts = [float(line.split(" ")[1].split("C")[0]) for line in lines]
    assert len(set(starts)) == 4
    assert all(re.fullmatch(r"M[\d. ]+C[\d. ]+", line) for line in lines)


def tick_places(page: "Page", name: str) -> dict[str, float]:
    """Return the labels of an axis of the parallel coordinates, with their places from above."""
    axis = page.locator("#parallel svg > g", has=page.locator(f"[aria-label='{name}']"))
    found = axis.locator("text:not(.name)")
    return dict(found.evaluate_all("all => all.map(each => [each.textContent, each.getBoundingClientRect().y])"))


def test_axis_of_settings_is_logarithmic_where_that_is_evener(tmp_path: Path, show: Show) -> None:
    """1e-3, 3e-3 and 1e-2 have nearly equal distances, 1, 2 and 3 as well; labels of close results do not overlap."""
    scores = (0.9, 0.9001, 0.9002, 0.95, 0.9501, 0.99)
    for number, score in enumerate(scores):
        settings = {LR: (1e-3, 3e-3, 1e-2)[number % 3], DEPTH: 1 + number % 3, "seed": number // 3}
        make_run(tmp_path / f"{number}", settings, {"val/accuracy": [score]})
    page = show(root_page(tmp_path))
    rates, depths = tick_places(page, "lr"), tick_places(page, "depth")
    height = rates["0.001"] - rates["0.01"]
    assert 0.4 < (rates["0.003"] - rates["0.01"]) / height < 0.6
    assert abs(depths["2"] - (depths["1"] + depths["3"]) / 2) < 1
    results = sorted(tick_places(page, "best val/accuracy").values())
    assert len(results) > 2
    assert all(below - above >= 12 for above, below in pairwise(results))


def test_runs_that_lack_a_setting_have_a_place_on_its_axis(tmp_path: Path, show: Show) -> None:
    """Sweeps of different settings below one root: each line reaches all axes, and the others can be chosen."""
    for number in range(2):
        make_run(tmp_path / f"a{number}", {LR: 10.0**-number, "seed": 0}, {"val/accuracy": [0.5 + number / 10]})
        make_run(tmp_path / f"b{number}", {DEPTH: 2 + number, "seed": 0}, {"val/accuracy": [0.8 + number / 10]})
    page = show(root_page(tmp_path))
    lines = page.locator("#parallel path").evaluate_all("all => all.map(each => each.getAttribute('d'))")
    assert len(lines) == 4
    assert all(re.fullmatch(r"M[\d. ]+(C[\d. ]+){2}", line) for line in lines)
    axis = page.locator("#parallel [role=slider][aria-label=lr]")
    axis.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.locator("#words").input_value() == "lr=—"
    assert shown_runs(page) == ["b0", "b1"]


def test_printed_tables_fit_the_paper(tmp_path: Path, show: Show) -> None:
    """Nothing scrolls on paper: what is wider than an A4 page is broken into lines."""
    make_study(tmp_path, 8, points=5)
    page = show(root_page(tmp_path), width=720)
    assert page.locator("#runs").evaluate("table => table.clientWidth") > 720
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    assert page.locator("#runs").evaluate("table => table.clientWidth") <= 720

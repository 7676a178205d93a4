"""Tests of the page of replayed steps in headless Chromium: long tables, steps, and that everybody can use it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project.study.replay.page.writing import replay_page
from project.study.replay.step_record import ParameterRecord, SampleRecord, StepRecord
from tests.study.conftest import Show
from tests.study.replay.made_records import make_comparison, make_record, write_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
EVIL = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\u202e\u05d0"


def make_page(directory: Path, *records: StepRecord) -> str:
    for record in records:
        write_pictures(directory, record)
    differing = [("train/loss", 28, 0.1, math.nextafter(0.1, 1))]
    return replay_page(directory, Path("experiments/run"), "the start", records, make_comparison(differing=differing))


def table(page: "Page", key: str) -> "Locator":
    return page.locator(f"table.long[data-key={key}]")


def first_cells(page: "Page", key: str) -> list[str]:
    return table(page, key).locator("tbody td:first-child").all_inner_texts()


def test_long_table_is_sorted_filtered_and_continued(show: Show, tmp_path: Path) -> None:
    """All rows take part, also those that are not shown."""
    page = show(make_page(tmp_path, make_record(num_samples=16, num_parameters=5_000)))
    assert len(first_cells(page, "parameters29")) == 20
    page.get_by_role("button", name="parameter").click()
    assert first_cells(page, "parameters29")[:3] == [f"net.layers.{n}.weight" for n in range(3)]
    page.get_by_role("button", name="parameter").click()
    assert first_cells(page, "parameters29")[0] == "net.layers.4999.weight"
    page.get_by_role("button", name="gradient norm").focus()
    page.keyboard.press("Enter")
    assert first_cells(page, "parameters29")[0] == "net.layers.0.weight"
    assert table(page, "parameters29").locator("[aria-sort=descending]").inner_text() == "gradient norm"
    page.get_by_role("button", name="show 200 more").click()
    assert len(first_cells(page, "parameters29")) == 220
    page.get_by_label("filter parameters by name").fill("LAYERS.499 weight")
    assert len(first_cells(page, "parameters29")) == 11
    assert page.get_by_text("11 of 11").is_visible()


def test_values_that_are_not_finite_are_the_largest_and_missing_ones_last(show: Show, tmp_path: Path) -> None:
    values = {"a": 1.0, "b": math.nan, "c": None, "d": 3.0, "e": -math.inf}
    parameters = [ParameterRecord(name, [1], 1.0, value, None) for name, value in values.items()]
    page = show(make_page(tmp_path, make_record(parameters=parameters)))
    head = page.get_by_role("button", name="gradient norm")
    head.click()
    assert first_cells(page, "parameters29") == ["b", "d", "a", "e", "c"]
    head.click()
    assert first_cells(page, "parameters29") == ["e", "a", "d", "b", "c"]
    assert table(page, "parameters29").locator("td.bad").first.inner_text() == "-inf"


def test_bars_have_a_logarithmic_scale(show: Show, tmp_path: Path) -> None:
    """A tenth is one step less, not a tenth as long, and 0 has no bar."""
    norms = [1.0, 0.1, 0.01, 0.0]
    parameters = [ParameterRecord(f"p{index}", [1], 1.0, norm, None) for index, norm in enumerate(norms)]
    page = show(make_page(tmp_path, make_record(parameters=parameters)))
    page.get_by_role("button", name="gradient norm").click()
    bars = table(page, "parameters29").locator(".share")
    assert bars.count() == 3
    widths = bars.evaluate_all("bars => bars.map((bar) => bar.getBoundingClientRect().width)")
    assert widths[0] - widths[1] == pytest.approx(widths[1] - widths[2], abs=0.5)
    assert widths[0] == pytest.approx(90, abs=0.5)


def test_one_of_several_steps_is_shown(show: Show, tmp_path: Path) -> None:
    """Links, buttons and arrow keys choose it."""
    page = show(make_page(tmp_path, *(make_record(step) for step in (28, 29, 30))))
    visible = page.locator("article:visible h2.step")
    assert visible.inner_text().startswith("Step 28")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**#step-29")
    assert visible.inner_text().startswith("Step 29")
    assert table(page, "parameters29").locator("thead button").count() > 3
    page.get_by_role("button", name="next step").click()
    page.wait_for_url("**#step-30")
    assert page.get_by_role("button", name="next step").is_disabled()
    page.get_by_role("link", name="28").click()
    page.wait_for_url("**#step-28")
    assert visible.inner_text().startswith("Step 28")


def test_command_is_copied(show: Show, tmp_path: Path) -> None:
    page = show(make_page(tmp_path, make_record()), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="copy").first.click()
    page.get_by_role("button", name="copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "python cli.py replay experiments/run --step 29"


def test_small_pictures_are_not_blurred(show: Show, tmp_path: Path) -> None:
    page = show(make_page(tmp_path, make_record()))
    images = page.locator(".cards img")
    assert images.count() == 8
    assert images.first.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"


def test_names_are_texts(show: Show, tmp_path: Path) -> None:
    record = make_record(
        samples=[SampleRecord(0, 1, EVIL, {EVIL: 1.0})],
        parameters=[ParameterRecord(EVIL * 50, [1], 1.0, 1.0, 1.0)],
        non_finite=[EVIL],
    )
    page = show(make_page(tmp_path, record), width=360)
    page.get_by_role("button", name="gradient norm").click()
    assert first_cells(page, "samples29") == [EVIL]
    assert page.title() == "Step 29 of run"
    assert page.locator("script").count() == 2
    assert page.locator("img[onerror]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_accessible_and_fits(show: Show, tmp_path: Path, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    records = [make_record(29, 30, non_finite=["image"], losses={"a": math.nan}), make_record(30, skipped=True)]
    page = show(make_page(tmp_path, *records), width=width, color_scheme=scheme)
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.keyboard.press("ArrowRight")
    page.locator("#step-30:visible").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_first_rows_are_there_without_javascript(show: Show, tmp_path: Path) -> None:
    records = [make_record(29), make_record(30)]
    page = show(make_page(tmp_path, *records), java_script_enabled=False)
    assert page.locator("article:visible").count() == 2
    assert len(first_cells(page, "parameters30")) == 6


def test_printed_page_fits(show: Show, tmp_path: Path) -> None:
    page = show(make_page(tmp_path, make_record()))
    page.emulate_media(media="print")
    page.pdf(format="A4")
    assert page.get_by_role("button", name="copy").first.is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280

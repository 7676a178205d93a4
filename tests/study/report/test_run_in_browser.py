"""Tests of the page of a run in headless Chromium: charts, sliders, and that everybody can use it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from project.study.report import run_page as module
from project.study.report.run_page import run_page
from tests.study.conftest import Show
from tests.study.report.run_files import CONFIG, GIVEN, make_curves, write_files, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
EVIL = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">'\"]]>\u2028"


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the text of a page of a run."""
    monkeypatch.setattr(module, "read_curves", lambda run, problems: make_curves())
    return run_page(write_run(tmp_path / "run"))


def chart(page: "Page", title: str) -> "Locator":
    found = page.locator(".chart", has=page.get_by_role("heading", name=title, exact=True))
    found.scroll_into_view_if_needed()
    found.locator("svg.plot path").first.wait_for(state="attached")  # one that is horizontal has no height
    return found


def hover(page: "Page", at: float, title: str = "hinge", fraction: float = 0.5) -> None:
    """Move the mouse over a chart, to a fraction of its width and height."""
    box = chart(page, title).locator("svg.plot").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * at, box["y"] + box["height"] * fraction)


def readings(page: "Page") -> list[str]:
    """Return the lines of the box with values."""
    return [" ".join(line.split()) for line in page.locator(".readings > div").all_inner_texts()]


def ticks(page: "Page", title: str = "hinge") -> Sequence[str]:
    return chart(page, title).locator("svg.plot > text").all_text_contents()


def test_curves_of_a_metric_share_a_chart_that_is_read_by_the_mouse(show: Show, text: str) -> None:
    """Each line has the value of its nearest point, and says where that is."""
    page = show(text)
    assert page.locator(".chart h3").all_inner_texts() == ["hinge", "accuracy", "lr-SGD"]
    assert chart(page, "hinge").locator(".key").inner_text().split() == ["train", "0.1", "val", "0.1333"]
    hover(page, 0.99)
    assert readings(page) == ["step 30", "val/hinge 0.1333", "train/hinge 0.1"]
    hover(page, 0.12)
    assert readings(page) == ["step 1", "train/hinge 3", "val/hinge at 10 0.4"]
    cursors = page.locator("svg .cursor[visibility=visible]")
    assert cursors.count() == 2  # accuracy has no value at this step
    assert cursors.first.get_attribute("x1") == page.locator("svg circle").first.get_attribute("cx")
    page.mouse.move(5, 5)
    assert page.locator(".readings").is_hidden()


def test_drag_zooms_all_charts_and_double_click_zooms_out(show: Show, text: str) -> None:
    page = show(text)
    before = ticks(page), ticks(page, "lr-SGD")
    hover(page, 0.5)
    page.mouse.down()
    hover(page, 0.8)
    page.mouse.up()
    zoomed = ticks(page), ticks(page, "lr-SGD")
    assert zoomed[0] != before[0]
    assert zoomed[1] != before[1]
    assert "10" not in zoomed[1]
    style = chart(page, "hinge").locator("svg.plot").evaluate("plot => getComputedStyle(plot).outlineStyle")
    assert style == "none"  # the ring of the focus is for keys
    chart(page, "hinge").locator("svg.plot").dblclick()
    assert (ticks(page), ticks(page, "lr-SGD")) == before


def test_keys_read_zoom_and_enlarge(show: Show, text: str) -> None:
    page = show(text)
    before = ticks(page)
    chart(page, "hinge").locator("svg.plot").focus()
    page.keyboard.press("Home")
    assert readings(page) == ["step 1", "train/hinge 3", "val/hinge at 10 0.4"]
    page.keyboard.press("ArrowRight")
    assert readings(page)[:2] == ["step 2", "train/hinge 1.5"]
    page.keyboard.press("+")
    assert ticks(page) != before
    page.keyboard.press("Escape")
    assert ticks(page) == before
    button = page.get_by_role("button", name="enlarge hinge")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    box = chart(page, "hinge").bounding_box()
    assert box is not None
    assert box["width"] > 1000


def test_controls_smooth_take_logarithms_and_choose_the_axis(show: Show, text: str) -> None:
    page = show(text)
    assert chart(page, "lr-SGD").locator("path").count() == 1
    page.get_by_label("smoothing").fill("0.9")
    assert chart(page, "lr-SGD").locator("path").count() == 2
    hover(page, 0.99)
    assert float(readings(page)[1].split()[-1]) > 0.2
    page.get_by_label("log y").check()
    assert "0.3" in ticks(page)
    page.get_by_label("x axis").select_option("time")
    assert "20 s" in ticks(page)
    hover(page, 0.99)
    assert readings(page)[0] == "29 s"


def test_filter_hides_charts(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = make_curves() | {f"train/extra{index}": make_curves()["lr-SGD"] for index in range(3)}
    monkeypatch.setattr(module, "read_curves", lambda run, problems: curves)
    page = show(run_page(write_run(tmp_path / "run")))
    page.get_by_label("filter charts by name").fill("EXTRA 1")
    assert page.locator(".chart:visible h3").all_inner_texts() == ["extra1"]


def test_curves_without_values_say_so(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves of one point are a dot, and NaN interrupts a line."""
    steps = np.arange(5)
    values = {"a": [np.nan] * 5, "b": [1, np.nan, 2, np.nan, 3], "c": [0.0] * 5, "d": [-1.0] * 5}
    curves = {name: (steps, np.array(each, dtype=float), steps * 1.0) for name, each in values.items()}
    curves["e"] = (np.array([7]), np.array([1e-9]), np.array([0.0]))
    monkeypatch.setattr(module, "read_curves", lambda run, problems: curves)
    page = show(run_page(write_run(tmp_path / "run")))
    titles = page.locator(".chart")
    titles.last.scroll_into_view_if_needed()
    assert "no value to draw" in titles.nth(0).inner_text()
    path = chart(page, "b").locator("svg.plot path").first.get_attribute("d")
    assert path is not None
    assert path.count("M") == 3
    assert chart(page, "e").locator("svg.plot path").last.get_attribute("d")
    page.get_by_label("log y").check()
    assert "no value to draw" in titles.nth(3).inner_text()


def test_few_points_are_dots_and_time_has_round_hours(
    show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the two points are is seen, and charts out of sight are drawn in the end."""
    from playwright.sync_api import expect

    steps = np.arange(2)
    curves = {f"{index:02d}": (steps, steps * 1.0, steps * 200_000.0) for index in range(15)}
    monkeypatch.setattr(module, "read_curves", lambda run, problems: curves)
    page = show(run_page(write_run(tmp_path / "run")))
    expect(page.locator("svg.plot:has(path)")).to_have_count(15)
    dots = page.locator(".chart").first.locator("path[stroke-width='5.5']").get_attribute("d")
    assert dots is not None
    assert dots.count("M") == 2
    page.get_by_label("x axis").select_option("time")
    assert ticks(page, "00")[-3:] == ["0 s", "20 h", "40 h"]


def test_slider_shows_the_pictures_of_epochs(show: Show, text: str) -> None:
    page = show(text)
    image, caption = page.locator("figure.slider img"), page.locator("figure.slider figcaption")
    last = image.get_attribute("src")
    assert caption.inner_text() == "epoch 3, step 30"
    page.get_by_label("epoch of the pictures of val").focus()
    page.keyboard.press("ArrowLeft")
    assert caption.inner_text() == "epoch 2, step 20"
    assert image.get_attribute("src") != last
    assert page.locator("figure.slider").evaluate("figure => figure.querySelector('img').naturalWidth") == 16


def test_everything_but_curves_is_there_without_javascript(show: Show, text: str) -> None:
    page = show(text, java_script_enabled=False)
    assert "need JavaScript" in page.locator("noscript").inner_text()
    assert page.locator("figure.slider img").count() == 1
    for words in ("best val/accuracy", "Confusion matrix", "Highest hinge", "model.net.width", "python.version"):
        assert page.get_by_text(words).first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_accessible_and_fits(show: Show, text: str, scheme: str, width: int) -> None:
    """No violation that axe-core finds, and no scrolling of the page to the right, also with everything open."""
    from axe_playwright_python.sync_playwright import Axe

    page = show(text, width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    chart(page, "lr-SGD")
    hover(page, 0.5)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations] == []


def test_printed_page_has_all_charts(show: Show, text: str) -> None:
    page = show(text, width=1280)
    page.emulate_media(media="print")
    page.pdf(format="A4")
    assert page.locator("svg.plot").evaluate_all("plots => plots.every((plot) => plot.querySelector('path'))")
    assert page.locator("#controls").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_names_are_texts(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markup in names of curves, settings, samples, warnings and changes runs nothing, and is shown as it is."""
    curves = {f"train/{EVIL}".replace("/s", "-s"): make_curves()["lr-SGD"], EVIL: make_curves()["lr-SGD"]}
    monkeypatch.setattr(module, "read_curves", lambda run, problems: curves)
    run = write_run(tmp_path / "<img src=x onerror=alert(1)>")
    quoted = EVIL.replace('"', '""')
    write_files(
        run,
        {
            "given.yaml": f"{GIVEN}vars: {{a: '{EVIL.replace(chr(39), chr(39) * 2)}'}}\n",
            "config.yaml": f"{CONFIG}# {EVIL}\n",
            "eval/test/samples.csv": f'index,name,"{quoted}",hinge\n0,"{quoted}","{quoted}",1\n',
            "log.txt": f"2026-01-01 10:00:00 WARNING {EVIL}\n",
            "git.diff": f"+{EVIL}\n",
        },
    )
    page = show(run_page(run))
    chart(page, EVIL)
    hover(page, 0.5, EVIL)
    assert EVIL.rstrip("\u2028") in " ".join(page.locator(".readings").all_inner_texts())
    assert page.title() == "<img src=x onerror=alert(1)>"
    assert page.locator("script").count() == 2
    assert page.locator("img[onerror]").count() == 0


def test_a_tap_reads_values(show: Show, text: str) -> None:
    page = show(text, width=360, has_touch=True)
    box = chart(page, "hinge").locator("svg.plot").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] - 12, box["y"] + 50)
    assert page.locator(".readings").is_visible()
    assert readings(page) == ["step 30", "val/hinge 0.1333", "train/hinge 0.1"]

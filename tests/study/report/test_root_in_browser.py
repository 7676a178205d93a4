"""The page of many runs in a browser: sorting, filtering, brushing, and updates while runs train."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from project.study.report.root_page import root_page
from tests.study.made_runs import add_points, make_run, make_study
from tests.study.report.conftest import Show
from tests.study.report.test_serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LR, DEPTH = "model.optimizer.lr", "model.net.depth"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three learning rates with two seeds; one run is running."""
    for number, lr in enumerate((1e-3, 1e-2, 1e-1)):
        for seed in range(2):
            level = [0.5, 0.9, 0.7][number] + 0.01 * seed
            name = f"{number}_seed{seed}"
            running = name == "2_seed1"
            curves = {
                "val/accuracy": [level * step / 8 for step in range(1, 9)],
                "val/l1": [1 / step for step in range(1, 9)],
            }
            results = None if running else {"accuracy": level}
            state = "running" if running else "finished"
            make_run(tmp_path / "root" / name, {LR: lr, "seed": seed, DEPTH: "a b"}, curves, results, state)
    return tmp_path / "root"


def shown_runs(page: "Page") -> list[str]:
    """Return the names in the table of runs, from top to bottom."""
    return page.locator("#runs tbody tr:visible th").all_inner_texts()


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


def choose(page: "Page", menu: str, option: str) -> None:
    page.locator("#controls label", has_text=menu).locator("select").select_option(option)


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
    assert seen == ["2 ± 1.414", "4 ± 2.828", "3 ± 0", "4 ± 0"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_serious(tmp_path: Path, show: Show, scheme: Literal["light", "dark"], width: int) -> None:
    make_study(tmp_path, 30, points=5, repeats=2)
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


@pytest.fixture
def live(browser: "Browser", root: Path) -> Iterator["Page"]:
    """The page of a server in this process."""
    with serving(root) as (server, _):
        page = browser.new_page(viewport={"width": 1280, "height": 700})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address)
        yield page
        page.close()
        assert errors == []


def test_a_served_page_follows_runs_and_keeps_what_was_chosen(root: Path, live: "Page") -> None:
    from playwright.sync_api import expect

    live.locator("#words").fill("lr=0.1")
    live.get_by_label("unfinished runs").check()
    choose(live, "show", "each run")
    live.locator("#runs thead button", has_text="seed").click()
    live.locator("#runs thead button", has_text="seed").click()
    live.locator(".chart").first.scroll_into_view_if_needed()
    live.locator(".plot").first.focus()
    live.keyboard.press("+")
    assert live.evaluate("scrollY") > 0
    top = "document.querySelector('.plot').getBoundingClientRect().top"  # kept where tables above it grow
    place = live.evaluate(top)
    zoomed = live.locator(".plot").first.locator("text").all_inner_texts()[-1]
    before = live.locator(".plot").first.inner_html()
    add_points(root / "2_seed1", {"val/accuracy": [0.99, 0.3, 0.99, 0.3]}, first=8)
    make_run(root / "3_seed0", {LR: 0.1, "seed": 7}, {"val/accuracy": [0.2] * 8, "val/new": [1.0]})
    expect(live.locator("#count")).to_have_text("3 of 7 runs")
    assert shown_runs(live) == ["3_seed0", "2_seed1", "2_seed0"]
    assert live.locator("#words").input_value() == "lr=0.1"
    assert live.locator("#runs th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert abs(live.evaluate(top) - place) < 2
    assert live.locator(".plot").first.inner_html() != before
    assert live.locator(".plot").first.locator("text").all_inner_texts()[-1] == zoomed
    assert live.locator(".chart h3").all_inner_texts() == ["val/accuracy", "val/l1", "val/new"]
    assert live.locator("#overview").inner_text().startswith("runs\n7")


def test_a_served_page_does_not_ask_while_it_is_hidden(root: Path, live: "Page") -> None:
    from playwright.sync_api import expect

    asked: list[str] = []
    live.on("request", lambda request: asked.append(request.url))
    show = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    live.evaluate(show, True)
    live.wait_for_timeout(3000)
    assert asked == []
    make_run(root / "9", {LR: 0.1, "seed": 9})
    live.evaluate(show, False)
    expect(live.locator("#count")).to_have_text("all 7 runs")


def test_a_served_page_says_when_it_is_no_longer_updated(root: Path, live: "Page") -> None:
    from playwright.sync_api import expect

    moved = root.rename(root.with_name("moved"))
    expect(live.locator(".lost")).to_contain_text("does not exist")
    assert len(shown_runs(live)) == 6
    moved.rename(root)
    expect(live.locator(".lost")).to_be_hidden()

"""Served pages in a browser: they follow runs, and keep what was chosen."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from project.study.report.run_page import run_page
from tests.study.made_runs import add_points, make_run
from tests.study.report.root_pages import LR, choose, shown_runs
from tests.study.report.test_serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


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


def headings(page: "Page") -> list[str]:
    """Return the first words of the headings."""
    return [text.split()[0] for text in page.locator("h2:visible").all_inner_texts()]


def test_sections_and_menus_appear_with_the_runs(tmp_path: Path, browser: "Browser") -> None:
    """From a single run without curves to a study."""
    from playwright.sync_api import expect

    make_run(tmp_path / "0", {LR: 0.1, "seed": 0}, state="running")
    with serving(tmp_path) as (server, _):
        page = browser.new_page()
        page.goto(server.address)
        expect(page.locator("#count")).to_have_text("1 run")
        assert headings(page) == ["Groups", "Runs"]
        page.locator("#runs thead button", has_text="run").first.focus()
        for number in range(1, 10):
            values = [0.1, 0.1 * number]
            make_run(tmp_path / str(number), {LR: 0.1 / number, "seed": 0}, {"val/accuracy": values, "val/l1": values})
        expect(page.locator("#count")).to_have_text("all 10 runs")
        assert headings(page) == ["Groups", "Curves", "Settings", "What", "Runs"]
        assert page.locator("#menus select").nth(1).locator("option").all_inner_texts() == ["settings", "lr", "run"]
        assert page.evaluate("document.activeElement.innerText") == "run"
        assert page.locator("#parallel [role=slider]").count() == 2
        page.close()


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


def test_the_page_of_a_run_follows_it(tmp_path: Path, browser: "Browser") -> None:
    """From no curve at all: then the smoothing and opened details stay."""
    from playwright.sync_api import expect

    run = make_run(tmp_path / "run", {"seed": 0}, state="running")
    with serving(run, lambda: run_page(run)) as (server, _):
        page = browser.new_page()
        page.goto(server.address)
        add_points(run, {"val/accuracy": [0.5, 0.6], "train/loss": [1.0]})
        expect(page.locator(".chart h3").first).to_have_text("accuracy")
        page.get_by_label("smoothing").fill("0.5")
        page.locator("summary", has_text="config.yaml").click()
        chart = page.locator(".chart").first.locator(".plot")
        before = chart.inner_html()
        add_points(run, {"val/accuracy": [0.9], "val/new": [1.0]}, first=2)
        (run / "summary.json").write_text((run / "summary.json").read_text().replace("running", "finished"))
        expect(page.locator("#overview .state")).to_have_text("finished")
        assert page.locator(".chart h3").all_inner_texts() == ["accuracy", "loss", "new"]
        assert chart.inner_html() != before
        assert page.get_by_label("smoothing").input_value() == "0.5"
        assert page.locator("details", has_text="config.yaml").first.get_attribute("open") is not None
        page.close()

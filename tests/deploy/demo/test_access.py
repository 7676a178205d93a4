"""The demo page for everybody: screen readers, the keyboard, narrow screens, light and dark."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.deploy.demo.conftest import Visit
from tests.deploy.demo.gestures import draw, drop, expect_class, picture

pytestmark = pytest.mark.browser

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# The unchanged axe.min.js of axe-core.
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def test_axe_finds_nothing_serious(classifier: Path, inverter: Path, adder: Path, visit: Visit) -> None:
    """Before and after an answer, and with an error, in light and dark."""
    page = visit(classifier, token="secret", reduced_motion="reduce")
    assert audit(page) == []
    drop(page, picture(255))
    expect(page.locator("#error")).to_be_visible()
    assert audit(page) == []
    page.locator("#token").fill("secret")
    page.keyboard.press("Enter")
    draw(page, [[(0.5, 0), (0.5, 1)]])
    expect(page.locator("#answer .bar").first).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 800})
    expect(page.locator("#brief")).to_be_visible()
    assert audit(page) == []
    page = visit(inverter, reduced_motion="reduce")
    page.locator("#camera").click()
    expect(page.locator("#shutter")).to_be_enabled()
    assert audit(page) == []
    page.locator("#shutter").click()
    expect(page.locator("#compare")).to_be_visible()
    assert audit(page) == []
    page = visit(adder, reduced_motion="reduce")
    page.locator("#predict").click()
    expect(page.locator("#answer")).to_be_visible()
    assert audit(page) == []
    page.goto("/docs")
    assert audit(page) == []


def audit(page: Page) -> list[str]:
    """Return the serious and critical findings of axe-core: its rule, and the elements.

    In dark, only contrasts are audited again: nothing else differs. The page must not fade from light to dark.
    """
    page.evaluate(AXE)
    found = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"], **({"runOnly": ["color-contrast"]} if scheme == "dark" else {})}
        found += page.evaluate("async options => (await axe.run(options)).violations", options)
    return [
        f"{finding['impact']} {finding['id']}: {finding['help']}: {[node['html'] for node in finding['nodes']]}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("net", ["classifier", "inverter", "adder"])
def test_a_screen_of_360_pixels(net: str, visit: Visit, request: pytest.FixtureRequest) -> None:
    """Nothing is cut off, before and after an answer."""
    page = visit(request.getfixturevalue(net), token="secret", width=360)
    expect(page.locator("#inputs")).to_be_visible()
    assert overflowing(page) == []
    page.locator("#token").fill("secret")
    page.keyboard.press("Enter")
    if net == "adder":
        for field in page.locator("#inputs input:visible").all():
            field.fill("123456.5" if field.get_attribute("name") != "years.0" else "123456")
        page.locator("#predict").click()
    else:
        drop(page, picture((250, 250, 250), (1000, 400)))
    expect(page.locator("#answer")).to_be_visible()
    assert overflowing(page) == []
    page.goto("/docs")
    assert overflowing(page) == []


def overflowing(page: Page) -> list[str]:
    """Return the elements that are cut off at the right edge of the screen: wide ones may scroll, but not the page."""
    script = """() => [...document.querySelectorAll("body :not(.scrolling *, pre *)")]
        .filter(element => element.getBoundingClientRect().right > innerWidth + 0.5)
        .map(element => element.outerHTML.slice(0, 80))
        .concat(document.documentElement.scrollWidth > innerWidth ? ["the page"] : [])"""
    found: list[str] = page.evaluate(script)
    return found


def test_on_a_small_screen_the_answer_is_seen(classifier: Path, visit: Visit) -> None:
    """Those who draw are told it below the drawing, and go on; to others, the page shows the answer, or the error."""
    page = visit(classifier, width=360)
    draw(page, [[(0.5, 0), (0.5, 1)]])
    expect(page.locator("#brief")).to_contain_text("Answer: ")
    expect(page.locator("#brief")).to_be_in_viewport(ratio=1)
    expect(page.locator("#pad")).to_be_in_viewport(ratio=0.9)
    drop(page, picture(255))
    expect(page.locator("#answer .bar").first).to_be_in_viewport(ratio=1)
    expect(page.locator("#brief")).to_be_hidden()
    page.evaluate("scrollTo(0, 0)")
    drop(page, {"name": "notes.png", "mimeType": "image/png", "buffer": b"These are notes."})
    expect(page.locator("#error")).to_be_in_viewport(ratio=1)


def test_the_keyboard_alone_reaches_an_answer(classifier: Path, visit: Visit) -> None:
    page = visit(classifier)
    # Not `expect_file_chooser`: it may begin to look for one after the key was pressed.
    page.on("filechooser", lambda chooser: chooser.set_files(picture(255)))
    press_tab_until(page, "drop")
    page.keyboard.press("Enter")
    expect_class(page, "bright")


def test_the_keyboard_alone_reaches_an_answer_of_numbers(adder: Path, visit: Visit) -> None:
    page = visit(adder)
    for name in ("measures.0", "measures.1", "measures.2", "years.0"):
        press_tab_until(page, name)
        page.keyboard.press("Control+A")
        page.keyboard.type("3")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("12")


def press_tab_until(page: Page, name: str) -> None:
    """Press Tab until an element with an id or a name has the focus; each on the way must show that it has it."""
    for _ in range(20):
        page.keyboard.press("Tab")
        found, outline = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
                return [[element.id, element.name], shown || style.boxShadow !== "none"];
            }"""
        )
        assert outline, f"{found} does not show that it has the focus"
        if name in found:
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_a_screen_reader_is_told_the_answer(classifier: Path, visit: Visit) -> None:
    page = visit(classifier)
    assert page.locator("#status").get_attribute("role") == "status"
    assert page.locator("#error").get_attribute("role") == "alert"
    drop(page, picture(255))
    expect(page.locator("#status")).to_contain_text(re.compile("bright"))


def test_light_and_dark(classifier: Path, visit: Visit) -> None:
    page, shades = visit(classifier), []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades.append(sum(map(int, re.findall(r"\d+", colour)[:3])))
    assert shades[0] > 600
    assert shades[1] < 150


def test_nothing_moves_for_those_who_asked_for_that(classifier: Path, visit: Visit) -> None:
    """Not even while the page waits for an answer."""
    page = visit(classifier, reduced_motion="reduce")
    page.route("**/predict", lambda route: None)  # never answers
    drop(page, picture(255))
    expect(page.locator("#status")).not_to_be_empty()
    assert page.evaluate("document.getAnimations().length") == 0

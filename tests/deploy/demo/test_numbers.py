"""Fields for numbers on the demo page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.deploy.demo.conftest import Visit
from tests.deploy.demo.gestures import drop, picture
from tests.deploy.demo.nets import write_difference, write_sum
from tests.deploy.onnx_files import write_model

pytestmark = pytest.mark.browser

SLOW_READING = """const read = window.createImageBitmap.bind(window);
window.createImageBitmap = async file => { await new Promise(end => setTimeout(end, 300)); return read(file); };"""


def test_numbers_are_added(adder: Path, visit: Visit) -> None:
    page = visit(adder)
    for name, value in {"measures.0": "1.5", "measures.1": "-2", "measures.2": "1e2", "years.0": "7"}.items():
        page.locator(f'[name="{name}"]').fill(value)
    page.locator("#predict").click()
    expect(page.locator("#answer")).to_contain_text("106.5")
    page.locator('[name="years.0"]').fill("8")
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_contain_text("107.5")


def test_an_answer_called_like_a_property_of_all_objects(nets: Path, visit: Visit) -> None:
    page = visit(write_sum(nets / "constructor.onnx", "constructor"))
    for name, value in {"measures.0": "1.5", "measures.1": "2", "measures.2": "3", "years.0": "7"}.items():
        page.locator(f'[name="{name}"]').fill(value)
    page.locator("#predict").click()
    expect(page.locator("#answer")).to_contain_text("13.5")


def test_a_picture_and_numbers(nets: Path, visit: Visit) -> None:
    """They are sent together, once the button is pressed; without the picture, the page asks for it."""
    page = visit(write_model(nets / "both.onnx"))
    page.locator('[name="offset.0"]').fill("1")
    page.locator('[name="offset.1"]').fill("2.5")
    page.locator("#predict").click()
    expect(page.locator("#error")).to_contain_text("picture")
    drop(page, picture(255, (8, 6)))
    expect(page.locator("#answer")).to_be_hidden()
    page.locator("#predict").click()
    expect(page.locator("#answer")).to_contain_text("bright")
    expect(page.locator("#answer")).to_contain_text("3.5")


@pytest.mark.parametrize("is_together", [True, False])
def test_two_pictures(nets: Path, visit: Visit, is_together: bool) -> None:
    """The first goes to the first input, also if the page is still reading it when the second one is dropped."""
    page = visit(write_difference(nets / "difference.onnx"), script=SLOW_READING)
    if is_together:
        drop(page, picture(255), picture(51))
    else:
        drop(page, picture(255), onto="body")
        drop(page, picture(51), onto="body")
    for selector in ("#drop", "#drop-2"):
        expect(page.locator(selector)).to_contain_text("bytes")  # its size: it was read
    page.locator("#predict").click()
    expect(page.locator("#answer")).to_contain_text("0.8")


@pytest.mark.parametrize(("name", "value"), [("measures.1", ""), ("years.0", "1.5")])
def test_a_wrong_number_is_refused_in_words(adder: Path, visit: Visit, name: str, value: str) -> None:
    """The message names the field, and the field has the focus."""
    page = visit(adder)
    for field in ("measures.0", "measures.1", "measures.2", "years.0"):
        page.locator(f'[name="{field}"]').fill("1")
    page.locator(f'[name="{name}"]').fill(value)
    page.locator("#predict").click()
    expect(page.locator("#error")).to_contain_text(re.compile(r"number", re.I))
    expect(page.locator(f'[name="{name}"]')).to_be_focused()
    expect(page.locator("#answer")).to_be_hidden()

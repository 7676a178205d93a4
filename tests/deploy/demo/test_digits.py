"""Digits drawn on the demo page of the digits example."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import CONFIGS
from tests.deploy.demo.conftest import Visit
from tests.deploy.demo.gestures import Stroke, best_class, draw

pytestmark = pytest.mark.browser

# As written by hand: points x,y of each stroke, in percent of the box around the digit.
STROKES = {
    0: "56,3 71,13 80,35 81,63 72,84 58,97 40,95 26,82 17,58 19,31 29,11 46,2 56,3",
    1: "30,25 42,15 52,2 52,29 53,59 52,99",
    2: "20,23 24,14 31,7 43,1 53,2 62,7 71,11 75,21 76,31 72,40 63,51 45,70 25,92 20,97 46,97 79,94",
    3: "19,16 37,3 63,7 73,26 62,46 50,46 70,56 77,73 67,90 47,98 25,93 17,86",
    4: "60,3 44,25 29,43 18,64 40,68 64,64 88,63 | 66,40 66,60 62,80 62,97",
    5: "78,3 56,4 30,5 28,23 25,47 37,42 50,41 63,43 72,54 76,64 75,76 69,86 58,93 45,95 34,93 24,86",
    6: "61,3 33,40 26,76 36,91 57,95 70,84 74,64 61,50 40,50 28,63 25,72",
    7: "15,6 39,4 66,5 85,6 70,30 59,55 50,75 45,98",
    8: """62,46 72,35 72,17 59,6 51,5 33,11 25,26 32,42 44,51 72,57 78,77 64,95 40,95 25,83 24,63 41,48 64,51
        61,47""",
    9: """74,20 68,10 58,4 48,2 38,6 31,12 25,23 25,32 29,44 38,50 48,54 59,50 68,44 72,36 76,30 71,49 67,72
        58,97""",
}
WIDE, NARROW = (0.2, 0.12, 0.6, 0.76), (0.4, 0.2, 0.4, 0.7)  # left, top, width and height on the pad


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the digits as the README does, but for a shorter time, and export them."""
    from project.core.cli.main import main

    root = tmp_path_factory.mktemp("digits")
    options = ["--config", str(CONFIGS / "digits.yaml"), "--trainer.max_epochs", "6", "--root", str(root)]
    assert main(["fit", *options]) == 0
    assert main(["export", "--ckpt_path", str(root / "digits")]) == 0
    return root / "digits/export/model.onnx"


def test_drawn_digits(digits: Path, visit: Visit) -> None:
    """At least eight of ten are right, wide and narrow ones; test_pictures.py tests where and how large they are."""
    page = visit(digits)
    seen = {digit: recognize(page, digit, WIDE if digit % 2 else NARROW) for digit in STROKES}
    print(seen)
    assert sum(seen[digit] == str(digit) for digit in STROKES) >= 8, seen


def strokes_of(digit: int) -> list[Stroke]:
    """Return the strokes of a digit as points in [0, 1]."""
    strokes = [[point.split(",") for point in stroke.split()] for stroke in STROKES[digit].split("|")]
    return [[(int(x) / 100, int(y) / 100) for x, y in stroke] for stroke in strokes]


def recognize(page: Page, digit: int, box: tuple[float, float, float, float]) -> str:
    """Draw a digit, return the most probable class, and clear the pad."""
    draw(page, strokes_of(digit), box)
    expect(page.locator("#answer .bar").first).to_be_visible()
    best = best_class(page)
    page.locator("#clear").click()
    return best

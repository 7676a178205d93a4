"""Pictures on the demo page: dropped, pasted, chosen, photographed and drawn; and those that a net returns."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import FilePayload, Page, expect

from project.deploy.predictor import Predictor
from tests.deploy.demo.conftest import Visit
from tests.deploy.demo.gestures import Stroke, draw, drop, expect_class, paste, picture
from tests.deploy.demo.nets import write_segmenter

pytestmark = pytest.mark.browser

HOOK: list[Stroke] = [[(0.2, 0.0), (0.2, 0.5), (0.3, 1.0)], [(0.2, 0.5), (0.8, 0.5)]]
PIXELS = """async image => {
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return {width: canvas.width, height: canvas.height, first: [...data.slice(0, 3)]};
}"""


def test_a_dropped_picture_is_answered(classifier: Path, visit: Visit) -> None:
    """The bars have the names and the probabilities of all classes, and the time is shown."""
    page = visit(classifier)
    drop(page, picture(255))
    expect_class(page, "bright")
    bars = page.locator("#answer .bar")
    shown = bars.evaluate_all("bars => bars.map(bar => [bar.dataset.class, Number(bar.dataset.probability)])")
    assert sorted(name for name, _ in shown) == ["bright", "dark", "medium"]
    assert sum(value for _, value in shown) == pytest.approx(1, abs=1e-3)
    assert dict(shown)["bright"] == pytest.approx(0.99995, abs=1e-4)
    expect(page.locator("#latency")).to_have_text(re.compile(r"\d ms"))


def test_a_pasted_picture_is_answered(classifier: Path, visit: Visit) -> None:
    page = visit(classifier, permissions=["clipboard-read", "clipboard-write"])
    paste(page, picture(0))
    expect_class(page, "dark")


def test_a_chosen_picture_is_answered(classifier: Path, visit: Visit) -> None:
    """The field forgets its file: else the same one, edited in the meantime, could not be chosen again."""
    page = visit(classifier)
    files = iter((picture(128), picture(255)))
    page.on("filechooser", lambda chooser: chooser.set_files(next(files)))
    for expected in ("medium", "bright"):
        with page.expect_response("**/predict"):
            page.locator("#drop").click()
        expect_class(page, expected)
        expect(page.locator("#file")).to_have_value("")


def test_a_photograph_is_answered(inverter: Path, visit: Visit) -> None:
    page = visit(inverter)
    page.locator("#camera").click()
    page.locator("#shutter").click()
    before, after = look(page, "#before"), look(page, "#after")
    assert before["width"] == after["width"] >= 320
    assert not page.locator("#photograph").is_visible()


def test_a_browser_without_camera_offers_none(classifier: Path, visit: Visit) -> None:
    page = visit(classifier, script="navigator.mediaDevices.enumerateDevices = async () => []")
    expect(page.locator("#camera")).to_be_hidden()


def test_pictures_before_and_after(inverter: Path, visit: Visit) -> None:
    """Both pictures are shown whole, and the slider between them is moved with the keyboard."""
    page = visit(inverter)
    drop(page, picture((200, 100, 0)))
    assert look(page, "#before") == {"width": 40, "height": 32, "first": [200, 100, 0]}
    assert look(page, "#after") == {"width": 40, "height": 32, "first": [55, 155, 255]}
    page.locator("#compare").focus()
    for key, shown in (("Home", (55, 155, 255)), ("End", (200, 100, 0))):  # nothing of the one before, and all of it
        page.keyboard.press(key)
        frame = Image.open(io.BytesIO(page.locator("#before").screenshot())).convert("RGB")
        assert [frame.getpixel((frame.width * part // 4, frame.height * 3 // 4)) for part in (1, 3)] == [shown, shown]
    assert download(page).getpixel((0, 0)) == (55, 155, 255)


def test_a_picture_of_too_many_pixels_is_scaled(classifier: Path, inverter: Path, visit: Visit) -> None:
    """The page says so, and shows both pictures in the same size."""
    page = visit(inverter, max_pixels=800)
    drop(page, picture((200, 100, 0), (80, 40)))
    expect(page.locator("#drop")).to_contain_text(re.compile("scaled to 40 . 20 pixels"))
    assert look(page, "#after") == {"width": 40, "height": 20, "first": [55, 155, 255]}
    page = visit(classifier, max_pixels=800)
    drop(page, picture(255, (80, 40)))
    expect_class(page, "bright")


def test_a_photograph_is_fitted_to_the_net(inverter: Path, visit: Visit) -> None:
    """Sides become multiples of 4: pixels are copied, or scaled if there are too many, as EXIF turns them."""
    page = visit(inverter, max_pixels=40_000)
    drop(page, stripes((43, 33)))
    expect(page.locator("#drop")).to_contain_text(re.compile("cropped to 40 . 32 pixels"))
    assert look(page, "#before") == {"width": 40, "height": 32, "first": [1, 0, 0]}
    drop(page, stripes((403, 301), orientation=6))
    expect(page.locator("#drop")).to_contain_text(re.compile("scaled to 172 . 228 pixels"))
    before = look(page, "#before")
    assert (before["width"], before["height"]) == (172, 228)
    assert before["first"][0] < 5  # the column 0 of the file is the first row


def test_a_dark_picture_is_shown_as_it_is(inverter: Path, visit: Visit) -> None:
    """Only whole numbers are numbers of classes."""
    page = visit(inverter)
    drop(page, picture((250, 250, 250)))
    assert look(page, "#after")["first"] == [5, 5, 5]
    page.wait_for_timeout(200)
    assert look(page, "#after")["first"] == [5, 5, 5]


@pytest.mark.parametrize("has_channel", [True, False])
def test_the_classes_of_pixels_are_told_apart(nets: Path, visit: Visit, has_channel: bool) -> None:
    """0 and 1 would both look black; what is downloaded has these values. Without channels, they come as lists."""
    page = visit(write_segmenter(nets / f"segmenter_{has_channel}.onnx", has_channel))
    drop(page, picture(255))
    expect(page.locator("#answer .legend")).to_contain_text("object")
    assert sum(look(page, "#after")["first"]) > 100
    assert download(page).getpixel((0, 0)) == (1, 1, 1)


def test_a_drawing_is_cropped_and_centred(classifier: Path, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the net is given does not depend on where and how large it was drawn."""
    given: list[np.ndarray] = []

    def read(predictor: Predictor, sample: dict[str, Any]) -> dict[str, np.ndarray]:
        arrays = original(predictor, sample)
        given.append(arrays["image"][0])
        return arrays

    original = Predictor.read
    monkeypatch.setattr(Predictor, "read", read)
    page = visit(classifier)
    assert (
        page.locator("#pad").evaluate("pad => getComputedStyle(pad).touchAction") == "none"
    )  # a finger does not scroll
    pictures = []
    for box in ((0.1, 0.1, 0.8, 0.8), (0.02, 0.02, 0.3, 0.3), (0.6, 0.3, 0.35, 0.35)):
        draw(page, HOOK, box)
        expect(page.locator("#answer .bar").first).to_be_visible()
        pictures.append(given[-1])
        page.locator("#clear").click()
        expect(page.locator("#answer .bar")).to_have_count(0)
    first = pictures[0]
    assert first[0].max() > 0.3
    assert first[-1].max() > 0.3
    columns = np.flatnonzero(first.max(0) > 0.3)
    assert columns[0] + columns[-1] == pytest.approx(7, abs=1)
    for other in pictures[1:]:
        assert np.abs(first - other).max() < 0.15


def test_a_net_of_colour_has_no_pad(inverter: Path, visit: Visit) -> None:
    page = visit(inverter)
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#pad")).to_be_hidden()


def stripes(size: tuple[int, int], orientation: int = 1) -> FilePayload:
    """Return a PNG file whose red is the column of a pixel."""
    width, height = size
    columns = np.tile(np.arange(width) % 256, (height, 1)).astype(np.uint8)
    image = Image.fromarray(np.stack([columns, 0 * columns, 0 * columns], axis=2))
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(file, "png", exif=exif)
    return {"name": "stripes.png", "mimeType": "image/png", "buffer": file.getvalue()}


def download(page: Page) -> Image.Image:
    """Return the picture that the page offers as a file."""
    with page.expect_download() as downloaded:
        page.get_by_role("link", name=re.compile("download", re.I)).click()
    return Image.open(downloaded.value.path()).convert("RGB")


def look(page: Page, selector: str) -> Any:
    """Return width, height and first pixel of the file that an element shows."""
    expect(page.locator(selector)).to_have_attribute("src", re.compile("blob:|data:"))
    return page.locator(selector).evaluate(PIXELS)

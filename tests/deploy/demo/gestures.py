"""What somebody does on the demo page: drop and paste files, draw."""

import base64
import io
from collections.abc import Iterable, Sequence

from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

Stroke = Sequence[tuple[float, float]]  # points


def picture(value: int | tuple[int, int, int], size: tuple[int, int] = (40, 32)) -> FilePayload:
    """Return a PNG file of one grey or one colour."""
    file = io.BytesIO()
    Image.new("L" if isinstance(value, int) else "RGB", size, value).save(file, "png")
    return {"name": "picture.png", "mimeType": "image/png", "buffer": file.getvalue()}


def drop(page: Page, *chosen: FilePayload, onto: str = "#drop") -> None:
    """Drag files over the drop zone, or another element, and drop them."""
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, type, text] of files) {
                const bytes = Uint8Array.from(atob(text), (mark) => mark.charCodeAt(0));
                transfer.items.add(new File([bytes], name, {type}));
            }
            return transfer;
        }""",
        [[file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()] for file in chosen],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(onto, event, {"dataTransfer": transfer})


def paste(page: Page, file: FilePayload) -> None:
    """Copy a picture to the clipboard, and press the keys that paste it; the page must have the permissions."""
    page.evaluate(
        """async (text) => {
            const bytes = Uint8Array.from(atob(text), (mark) => mark.charCodeAt(0));
            const item = new ClipboardItem({"image/png": new Blob([bytes], {type: "image/png"})});
            await navigator.clipboard.write([item]);
        }""",
        base64.b64encode(file["buffer"]).decode(),
    )
    page.keyboard.press("Control+V")


def draw(page: Page, strokes: Iterable[Stroke], box: tuple[float, float, float, float] = (0.2, 0.15, 0.6, 0.7)) -> None:
    """Draw strokes on the pad with the mouse.

    Args:
        page: the page.
        strokes: points of each stroke in [0, 1].
        box: where these lie on the pad: left, top, width and height as parts of its width and height.
    """
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    area = pad.bounding_box()
    assert area is not None
    left, top, width, height = box
    for stroke in strokes:
        for number, (x, y) in enumerate(stroke):
            place = (
                area["x"] + (left + width * x) * area["width"],
                area["y"] + (top + height * y) * area["height"],
            )
            page.mouse.move(*place)
            if number == 0:
                page.mouse.down()
        page.mouse.up()


def best_class(page: Page) -> str:
    """Return the class that the page shows as the most probable one."""
    name: str = page.locator("#answer .bar").evaluate_all(
        "bars => bars.sort((one, other) => other.dataset.probability - one.dataset.probability)[0]?.dataset.class"
    )
    return name


def expect_class(page: Page, name: str) -> None:
    """Wait for an answer whose most probable class is this one."""
    expect(page.locator(f'#answer .bar[data-class="{name}"]')).to_be_visible()
    assert best_class(page) == name

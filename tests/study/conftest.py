"""Pages, opened in headless Chromium."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Show = Callable[..., "Page"]


@pytest.fixture
def show(browser: "Browser", tmp_path: Path) -> Iterator[Show]:
    """Return a function that opens the text of a page: `show(text, width=360, color_scheme="dark")`.

    At its end, the test fails if the page logged an error, such as a violation of its Content-Security-Policy, or asked
    for anything but itself.
    """
    contexts: list[BrowserContext] = []
    found: list[str] = []

    def open_page(text: str, width: int = 1280, **options: Any) -> "Page":
        file = tmp_path / f"shown{len(contexts)}.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on(
            "request",
            lambda request: None if request.url.startswith((file.as_uri(), "data:")) else found.append(request.url),
        )
        page.on("pageerror", lambda error: found.append(f"exception: {error}"))
        page.on("console", lambda message: found.append(message.text) if message.type in ("error", "warning") else None)
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert found == []

"""The demo page of a server in this process, in headless Chromium."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from tests.deploy.demo.nets import write_classifier, write_inverter, write_sum
from tests.deploy.server.conftest import Client, run_servers

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def serve(classifier: Path) -> Iterator[Callable[..., Client]]:
    """Return a function that serves a model; tests with the same settings share a server."""
    with run_servers(classifier) as start:
        yield cache(start)


@pytest.fixture
def visit(browser: Browser, serve: Callable[..., Client]) -> Iterator[Visit]:
    """Return a function that serves a model and opens its page, such as `visit(path, token="secret", width=360)`.

    At its end, the test fails if the page logged an error, such as a violation of its Content-Security-Policy, or asked
    another server for something.
    """
    contexts: list[BrowserContext] = []
    found: list[str] = []
    expected: list[str] = []

    def open_page(
        path: Path,
        token: str | None = None,
        max_pixels: int | None = None,
        width: int = 1280,
        script: str = "",
        faults: Sequence[str] = (),
        **options: Any,
    ) -> Page:
        origin = f"http://127.0.0.1:{serve(model=path, token=token, max_pixels=max_pixels).port}"
        context = browser.new_context(base_url=origin, viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        expected.extend(faults)
        page = context.new_page()
        page.add_init_script(script)

        def check_origin(request: Request) -> None:
            if not request.url.startswith((f"{origin}/", f"blob:{origin}/", "data:")):
                found.append(f"request to {request.url}")

        def check_message(message: ConsoleMessage) -> None:
            # The browser itself logs each answer that is an error; the page shows it to the user.
            if message.type in ("error", "warning") and message.location["url"] != f"{origin}/predict":
                found.append(message.text)

        page.on("request", check_origin)
        page.on("pageerror", lambda error: found.append(f"exception: {error}"))
        page.on("console", check_message)
        page.goto("/")
        expect(page.locator("#inputs")).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in found if not any(part in text for part in expected)] == []


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nets")


@pytest.fixture(scope="session")
def classifier(nets: Path) -> Path:
    """Classifier of a grey picture of 8 x 8."""
    return write_classifier(nets / "classifier.onnx")


@pytest.fixture(scope="session")
def inverter(nets: Path) -> Path:
    """Net that returns a picture in colour, of any size in steps of 4."""
    return write_inverter(nets / "inverter.onnx")


@pytest.fixture(scope="session")
def adder(nets: Path) -> Path:
    """Net that adds numbers."""
    return write_sum(nets / "sum.onnx")

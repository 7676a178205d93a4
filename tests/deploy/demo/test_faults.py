"""The demo page when something is wrong: files, tokens, the server, slow answers, and a model card of a stranger."""

import re
from pathlib import Path
from time import monotonic

import pytest
from playwright.sync_api import Page, Route, expect

from tests.deploy.demo.conftest import Visit
from tests.deploy.demo.gestures import drop, expect_class, picture
from tests.deploy.demo.nets import write_classifier

pytestmark = pytest.mark.browser


def test_a_file_that_is_no_picture(classifier: Path, visit: Visit) -> None:
    """The message is that of the server, it replaces the answer, and an answer replaces it."""
    page = visit(classifier)
    drop(page, picture(255))
    expect_class(page, "bright")
    drop(page, {"name": "notes.png", "mimeType": "image/png", "buffer": b"These are notes."})
    expect_error(page, "the picture is no BMP, GIF, JPEG, PNG or WebP file")
    expect(page.locator("#answer")).to_be_hidden()
    drop(page, picture(0))
    expect_class(page, "dark")
    expect(page.locator("#error")).to_be_hidden()


def test_a_picture_that_is_too_small(inverter: Path, visit: Visit) -> None:
    page = visit(inverter)
    drop(page, picture((1, 2, 3), (4, 32)))
    expect_error(page, "its width is 4; it must be from 8 to 2048 in steps of 4")


def test_only_the_first_of_several_files_is_used(classifier: Path, visit: Visit) -> None:
    page = visit(classifier)
    drop(page, picture(255), picture(0))
    expect_class(page, "bright")
    expect(page.locator("#drop")).to_contain_text("the first of 2")


def test_the_token(classifier: Path, visit: Visit) -> None:
    """Without the token and with a wrong one, the page asks for it; with the right one, it answers."""
    page = visit(classifier, token="open sesame")
    drop(page, picture(255))
    expect_error(page, "token")
    page.locator("#token").fill("wrong")
    page.keyboard.press("Enter")
    drop(page, picture(255))
    expect_error(page, "does not accept")
    page.locator("#token").fill("open sesame")
    page.keyboard.press("Enter")
    drop(page, picture(255))
    expect_class(page, "bright")
    assert "sesame" not in page.url
    assert "sesame" not in page.content()


def test_without_a_token_the_page_asks_for_none(classifier: Path, visit: Visit) -> None:
    page = visit(classifier)
    expect(page.locator("#drop")).to_be_visible()
    expect(page.locator("#token")).to_be_hidden()


def test_the_server_is_gone(classifier: Path, visit: Visit) -> None:
    """The page says so in words, and answers once the server is back."""
    page = visit(classifier)
    page.route("**/predict", lambda route: route.abort("connectionrefused"))
    drop(page, picture(255))
    expect_error(page, "cannot be reached")
    page.unroute("**/predict")
    page.locator("#retry").click()
    expect_class(page, "bright")


def test_the_server_is_gone_when_the_page_opens(classifier: Path, visit: Visit) -> None:
    page = visit(classifier, faults=["Failed to load resource", "cannot be reached"])
    page.route("**/model", lambda route: route.abort("connectionrefused"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")


def test_an_answer_of_something_else(classifier: Path, visit: Visit) -> None:
    """A proxy answers with a page of its own."""
    page = visit(classifier)
    page.route("**/predict", lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Oops</h1>"))
    drop(page, picture(255))
    expect_error(page, "502")


def test_the_server_has_another_model(classifier: Path, visit: Visit) -> None:
    """The page has the classes of the model with which it was opened."""
    page = visit(classifier)

    def answer_with_another_model(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json={**answer, "sha256": "0" * 64})

    page.route("**/predict", answer_with_another_model)
    drop(page, picture(255))
    expect_error(page, "Reload the page")
    expect(page.locator("#answer")).to_be_hidden()
    expect(page.locator("#retry")).to_be_hidden()


def test_a_busy_server(classifier: Path, visit: Visit) -> None:
    page = visit(classifier)
    problem = {"title": "Service Unavailable", "status": 503, "detail": "too many requests are waiting"}
    page.route("**/predict", lambda route: route.fulfill(status=503, headers={"Retry-After": "3"}, json=problem))
    drop(page, picture(255))
    expect_error(page, "too many requests are waiting")
    expect_error(page, "3 seconds")


def test_a_slow_answer(classifier: Path, visit: Visit) -> None:
    """The page shows that it waits, and how long."""
    page = visit(classifier)
    page.clock.install()
    page.route("**/predict", lambda route: None)  # never answers
    drop(page, picture(255))
    expect(page.locator("#status")).to_have_text("Predicting …")
    page.clock.run_for(7000)
    expect(page.locator("#empty")).to_have_text(re.compile("Predicting … [67] s"))


def test_a_late_answer_does_not_replace_a_newer_one(classifier: Path, visit: Visit) -> None:
    """Nor does a late error."""
    page = visit(classifier)
    held: list[Route] = []
    page.route("**/predict", lambda route: held.append(route))
    for number, value in enumerate((0, 0, 255), 1):
        drop(page, picture(value))
        deadline = monotonic() + 20
        while len(held) < number and monotonic() < deadline:
            page.wait_for_timeout(20)
    late, failing, newest = held
    newest.continue_()
    expect_class(page, "bright")
    late.continue_()
    failing.fulfill(status=503, json={"detail": "late"})
    page.wait_for_timeout(300)
    expect_class(page, "bright")
    expect(page.locator("#error")).to_be_hidden()


def test_names_in_the_file_are_text(nets: Path, visit: Visit) -> None:
    """A model card may come from a stranger."""
    markup = "<img src=x onerror=alert(1)>"
    page = visit(write_classifier(nets / "markup.onnx", (markup, "b", "c"), name=markup))
    drop(page, picture(0))
    expect_class(page, markup)
    expect(page.locator("h1")).to_have_text(markup)
    assert page.locator("img[src=x]").count() == 0


def test_the_page_runs_no_script_but_its_own(classifier: Path, visit: Visit) -> None:
    page = visit(classifier, faults=["Content Security Policy"])
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'x = 1'}))")
    assert page.evaluate("typeof x") == "undefined"


def expect_error(page: Page, text: str) -> None:
    """Wait until the page shows an error that contains a text."""
    expect(page.locator("#error")).to_be_visible()
    expect(page.locator("#error")).to_contain_text(re.compile(re.escape(text), re.I))

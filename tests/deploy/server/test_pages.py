"""Files of the page: their types, and that a browser sees those of an updated server."""

import pytest

from project.deploy import demo
from tests.deploy.server.conftest import Client


def test_files_have_their_types_and_are_asked_for_again(shared_client: Client) -> None:
    for name, content in demo.read_files().items():
        answer = shared_client.request("GET", "/" if name == "index.html" else f"/{name}")
        assert (answer.status, answer.body) == (200, content)
        kind = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"}.get(name.split(".")[-1])
        assert kind in (None, answer.headers["content-type"])
        assert answer.headers["cache-control"] == "no-cache"
        tag = answer.headers["etag"]
        again = shared_client.request("GET", "/" if name == "index.html" else f"/{name}", If_None_Match=f'"x", W/{tag}')
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
        other = shared_client.request("GET", "/" if name == "index.html" else f"/{name}", If_None_Match='"x"')
        assert other.status == 200


@pytest.mark.parametrize("path", ["/index.html", "/__init__.py", "/..%2fsettings.py", "//demo.js", "/demo.js/"])
def test_no_other_file_is_served(shared_client: Client, path: str) -> None:
    assert shared_client.request("GET", path).status == 404

"""Headers that let pages load nothing from elsewhere, and pages of one other origin send requests."""

from collections.abc import Callable

import pytest

from tests.deploy.server.conftest import Client

ORIGIN = "https://example.org"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("HEAD", "/demo.js"), ("GET", "/no"), ("POST", "/predict"), ("GET", "/livez")]
)
def test_all_responses_have_the_headers(shared_client: Client, method: str, path: str) -> None:
    headers = shared_client.request(method, path).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == ("no-cache" if path in ("/", "/demo.js") else "no-store")
    assert not [name for name in headers if name.startswith("access-control")]


def test_pages_of_one_origin_may_send_requests(start: Callable[..., Client]) -> None:
    client = start(cors=ORIGIN)
    ask = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization,content-type"}
    asked = client.request("OPTIONS", "/predict", None, Origin=ORIGIN, **ask)
    assert asked.status == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert {"Authorization", "Content-Type"} <= set(asked.headers["access-control-allow-headers"].split(", "))
    assert "Origin" in asked.headers["vary"]
    assert "content-security-policy" in asked.headers
    answer = client.request("POST", "/predict", b"{}", Origin=ORIGIN, Content_Type="application/json")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (422, ORIGIN)
    assert "Origin" in answer.headers["vary"]
    for origin in ("https://example.org.evil.com", "http://example.org", "null", "https://EXAMPLE.org:444"):
        refused = client.request("OPTIONS", "/predict", None, Origin=origin, **ask)
        other = client.request("GET", "/model", Origin=origin)
        assert "access-control-allow-origin" not in refused.headers
        assert "access-control-allow-origin" not in other.headers

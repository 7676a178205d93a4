"""Headers that let pages load nothing from elsewhere, and pages of one other origin send requests; the header Host."""

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


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("demo.localhost", True),
        ("machine:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("192.168.0.7", True),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example\x85localhost", False),
        ("localhost@evil.example", False),
    ],
)
def test_names_of_the_internet_need_a_token(shared_client: Client, host: str, is_own: bool) -> None:
    """A page of evil.example, whose name means 127.0.0.1 by now, has the same origin, and may not read answers."""
    for method, path in (("GET", "/model"), ("POST", "/predict")):
        answer = shared_client.request(method, path, b"{}", Host=host, Content_Type="application/json")
        assert answer.status == ((200 if path == "/model" else 422) if is_own else 403)
        assert "content-security-policy" in answer.headers


def test_servers_with_a_token_have_any_name(start: Callable[..., Client]) -> None:
    client = start(token="open-sesame")
    assert client.request("GET", "/model", Host="models.example.org").status == 200

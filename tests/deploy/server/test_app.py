"""Requests and their answers, over HTTP."""

import base64
import gc
import io
import json
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from project.deploy.server import app, bodies, samples
from project.deploy.server.settings import Limits
from tests.deploy.server.conftest import Client, run_servers
from tests.deploy.server.picture_model import png

PNG = png(np.full((4, 4), 102))
TEXT = base64.b64encode(PNG).decode()
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def client(model: Path) -> Iterator[Client]:
    """Return a client of a server of a picture and two numbers."""
    with run_servers(model) as begin:
        yield begin(limits=Limits(body_bytes=100_000, samples=3))


def sample(**values: Any) -> bytes:
    return json.dumps({"image": TEXT, "offset": [1, 2]} | values).encode()


def test_prediction_of_json(client: Client) -> None:
    answer = client.request("POST", "/predict", sample(), **JSON)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/json"
    (prediction,) = answer.json["predictions"]
    assert prediction == {
        "answers": {"shifted": pytest.approx([1.4, 2.4]), "is_bright": 0},
        "class_names": {"is_bright": "dark"},
        "probabilities": {},
        "sizes": {"image": [4, 4]},
    }
    assert answer.json["sha256"] == client.server.predictor.sha256
    assert 0 < answer.json["milliseconds"] < 30_000


def test_prediction_of_pictures(pictures: Client) -> None:
    """Samples keep their order; a picture is answered as a file in text."""
    others = [png(np.full((3, 5), value)) for value in (0, 255)]
    body = json.dumps([{"image": base64.b64encode(each).decode()} for each in others]).encode()
    answer = pictures.request("POST", "/predict", body, Accept="image/png", **JSON)  # which cannot be two pictures
    predictions = answer.json["predictions"]
    assert [each["class_names"] for each in predictions] == [{"label": "white"}, {"label": "black"}]
    assert [each["sizes"] for each in predictions] == [{"image": [3, 5]}] * 2
    for each, value in zip(predictions, (255, 0), strict=True):
        url = each["answers"]["inverse"]
        assert url.startswith("data:image/png;base64,")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))
        assert (pixels == np.full((3, 5, 3), value)).all()
        label = each["answers"]["label"]
        assert each["probabilities"]["label"][label] == pytest.approx(each["answers"]["probability"], abs=1e-6)
        assert sum(each["probabilities"]["label"]) == pytest.approx(1)


def test_answer_is_a_picture_if_the_client_prefers_it(pictures: Client) -> None:
    answer = pictures.request("POST", "/predict", PNG, Content_Type="image/png", Accept="image/png, */*;q=0.1")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert (np.asarray(Image.open(io.BytesIO(answer.body))) == 153).all()
    other = pictures.request("POST", "/predict", PNG, Content_Type="image/png", Accept="*/*")
    assert other.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "detail"),
    [
        ("POST", "/predict", b"{", JSON, 400, "the body cannot be read as JSON"),
        ("GET", "/nothing", None, {}, 404, "there is no /nothing"),
        ("POST", "/predict/", sample(), JSON, 404, "there is no /predict/"),
        ("GET", "/../etc/passwd", None, {}, 404, "there is no"),
        ("GET", "/%ff%00", None, {}, 404, "there is no"),
        ("GET", "/predict", None, {}, 405, "/predict does not take GET, but POST"),
        ("DELETE", "/model", None, {}, 405, "/model does not take DELETE"),
        ("OPTIONS", "/predict", None, {}, 405, "/predict does not take OPTIONS"),
        ("POST", "/predict", b"x" * 100_001, JSON, 413, "the body is larger than 100000 bytes"),
        ("POST", "/predict", b"[" + b",".join([sample()] * 4) + b"]", JSON, 413, "a request may have 3"),
        ("POST", "/predict", sample(), {}, 415, "send JSON (application/json, with image, offset)"),
        ("POST", "/predict", sample(), {**JSON, "Content_Encoding": "gzip"}, 415, "without Content-Encoding"),
        ("POST", "/predict", sample(**{"\ud800": 1}), JSON, 422, "no input is called '\ud800'"),
        ("POST", "/predict", sample(image=TEXT[:60]), JSON, 422, "image: the picture cannot be read"),
    ],
)
def test_mistakes(
    client: Client, method: str, path: str, body: bytes | None, headers: Mapping[str, str], status: int, detail: str
) -> None:
    """One for each status; test_samples.py has all that can be wrong with a body."""
    answer = client.request(method, path, body, **headers)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.body
    assert {"type", "title", "status", "detail"} == set(answer.json)
    assert answer.json["status"] == status
    assert detail in answer.json["detail"]
    assert "x-content-type-options" in answer.headers
    if status == 405:
        assert answer.headers["allow"] in ("POST", "GET, HEAD", "HEAD, GET")


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer wrong", "secret", "Basic sécret", "Bearer sécret2", "Bearer \xff\x80"]
)
def test_prediction_needs_the_token(pictures: Client, given: str | None) -> None:
    """The body is not read."""
    headers = {} if given is None else {"Authorization": given.encode().decode("latin-1")}
    client = Client(pictures.server, pictures.port)
    answer = client.request("POST", "/predict", b"garbage", Content_Type="image/png", **headers)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer TOKEN" in answer.json["detail"]


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/model", "/demo.js"])
def test_other_pages_need_no_token_and_have_heads(pictures: Client, path: str) -> None:
    client = Client(pictures.server, pictures.port)
    answer, head = client.request("GET", path), client.request("HEAD", path)
    assert (answer.status, head.status, head.body) == (200, 200, b"")
    kept = ("content-type", "content-security-policy")
    assert [head.headers[name] for name in kept] == [answer.headers[name] for name in kept]


def test_an_exception_is_logged_and_not_told(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(app, "read_samples", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.request("POST", "/predict", sample(), **JSON)
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert b"secret" not in answer.body
    assert "content-security-policy" in answer.headers
    assert "a secret of the server" in caplog.text
    assert "Traceback" in caplog.text
    monkeypatch.undo()
    assert client.request("POST", "/predict", sample(), **JSON).status == 200


def test_the_numbers_of_an_answer_are_limited(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """As lists, they need far more memory than in the net: a sample has three."""
    monkeypatch.setattr(app, "_MAX_VALUES", 5)
    sample = {"image": TEXT, "offset": [1, 2]}
    answers = [client.request("POST", "/predict", json.dumps([sample] * count).encode(), **JSON) for count in (1, 2)]
    assert [answer.status for answer in answers] == [200, 413]
    assert answers[1].json["detail"] == "the answer has 6 numbers, and may have 5: send fewer or smaller samples"


def test_slow_decoding_ends(start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that reads a sample cannot be stopped, but the client is answered, and no other sample is read.

    Bodies that wait for a thread are dropped with their requests: their memory counts no more.
    """

    class Body:
        """What is read of a request; one can tell whether it still exists."""

    goes_on, ended, read_bytes = threading.Event(), threading.Event(), bodies.read_body
    found: list[weakref.ref[Body]] = []

    def read(predictor: object, kind: object, body: Body, *limits: object) -> Iterator[tuple[dict[str, Any], int]]:
        try:
            assert goes_on.wait(10)
            yield {}, 2
            found.append(weakref.ref(body))  # not reached
        finally:
            ended.set()

    async def read_body(*arguments: Any) -> Body:
        await read_bytes(*arguments)
        body = Body()
        found.append(weakref.ref(body))
        return body

    monkeypatch.setattr(app, "read_samples", read)
    monkeypatch.setattr(app, "read_body", read_body)
    client = start(limits=Limits(answer_seconds=0.05))
    for _ in range(4):
        answer = client.request("POST", "/predict", sample(), **JSON)
        assert (answer.status, answer.json["detail"]) == (504, "there was no answer within 0.05 s")
    deadline = time.monotonic() + 10
    while [each() is None for each in found] != [False, False, True, True]:  # of two threads
        assert time.monotonic() < deadline
        gc.collect()
    goes_on.set()
    assert ended.wait(10)
    assert client.server.memory.used == 0
    assert len(found) == 4


def test_requests_take_turns_in_the_threads(start: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of many samples that take long to read keep no other from its answer."""
    answered, read = threading.Event(), samples.read_samples

    def read_slowly(predictor: Any, kind: Any, body: bytes, *limits: Any) -> Iterator[tuple[dict[str, Any], int]]:
        while body.startswith(b"[") and not answered.wait(0.002):
            yield {}, 1
        yield from read(predictor, kind, body, *limits)

    monkeypatch.setattr(app, "read_samples", read_slowly)
    client = start(limits=Limits(answer_seconds=5))
    statuses: list[int] = []

    def send() -> None:
        statuses.append(client.request("POST", "/predict", b"[]", **JSON).status)

    slow = [threading.Thread(target=send) for _ in range(3)]
    for thread in slow:
        thread.start()
    while client.server.memory.used < 6:
        time.sleep(0.001)
    assert client.request("POST", "/predict", sample(), **JSON).status == 200
    assert not statuses
    answered.set()
    for thread in slow:
        thread.join()
    assert statuses == [400] * 3


def test_memory_of_decoded_samples_is_bounded(pictures: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files may contain large pictures."""
    file = base64.b64encode(png(np.zeros((200, 200)))).decode()
    monkeypatch.setattr(pictures.server.memory, "limit", 350_000)
    answers = [
        pictures.request("POST", "/predict", json.dumps([{"image": file}] * count).encode(), **JSON) for count in (2, 3)
    ]
    assert [answer.status for answer in answers] == [200, 413]
    assert "send fewer samples" in answers[1].json["detail"]
    assert pictures.server.memory.used == 0


def test_load_balancers_see_that_the_server_stops(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.server, "is_ready", False)
    answer = client.request("GET", "/readyz")
    assert (answer.status, answer.json["detail"]) == (503, "the server is stopping")
    assert client.request("GET", "/livez").status == 200
    assert client.request("POST", "/predict", sample(), **JSON).status == 200  # had been sent before


def test_description_of_the_model(pictures: Client) -> None:
    model = pictures.request("GET", "/model").json
    assert (model["name"], model["needs_token"], model["classes"]) == ("pictures", True, {"label": ["white", "black"]})
    assert model["inputs"] == {"image": {"kind": "picture", "channels": 1, "size": None}}
    assert model["limits"]["samples"] == 3


def test_answers_are_counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(client.server.metrics, "count_answer", lambda status, seconds: counted.append(status))
    for body in (sample(), b"{", sample()):
        client.request("POST", "/predict", body, **JSON)
    assert counted == [200, 400, 200]

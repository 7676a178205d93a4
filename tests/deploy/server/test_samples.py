"""Samples of all forms of bodies, and what is wrong with others."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from project.deploy.inputs import FormatError, InputError, Picture, TooLargeError
from project.deploy.predictor import Predictor
from project.deploy.server.problems import Problem
from project.deploy.server.samples import check_content_type, read_samples
from tests.deploy.server.picture_model import png, write_picture_model

PNG = png(np.full((4, 4), 51))
TEXT = base64.b64encode(PNG).decode()
SAMPLE = {"image": TEXT, "offset": [1, 2]}
FORM = "multipart/form-data; boundary=XX"


@pytest.fixture(scope="module")
def predictors(tmp_path_factory: pytest.TempPathFactory, model: Any) -> dict[bool, Predictor]:
    """Return the model of a picture and two numbers, and by True one of a picture alone."""
    alone = write_picture_model(tmp_path_factory.mktemp("alone") / "model.onnx")
    return {False: Predictor(model), True: Predictor(alone)}


def read(predictor: Predictor, kind: str, body: bytes, limit: int = 4) -> list[dict[str, np.ndarray]]:
    check_content_type(predictor.card, kind, "")
    samples, left = zip(*read_samples(predictor, kind, body, limit, 10**6), strict=True)
    assert left == (*reversed(range(len(samples))),)
    return [*samples]


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value for name, value in parts]
    return b"\r\n".join([*lines, b"--XX--\r\n"])


def dump(content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        ("application/json", dump(SAMPLE), 1),
        ("Application/JSON; charset=UTF-8", dump([SAMPLE, SAMPLE]), 2),
        ("application/json", dump(SAMPLE | {"image": f"data:image/png;base64,{TEXT}"}), 1),
        (FORM, form(("image", PNG), ("offset", b"[1, 2]")), 1),
        ('multipart/form-data; charset=utf-8; boundary="XX"', form(*[("offset", b"[1,2]"), ("image", PNG)] * 3), 3),
    ],
)
def test_bodies_of_several_inputs(predictors: dict[bool, Predictor], kind: str, body: bytes, count: int) -> None:
    samples = read(predictors[False], kind, body)
    assert len(samples) == count
    for sample in samples:
        assert (sample["image"] == np.full((1, 4, 4), 0.2, np.float32)).all()
        assert sample["offset"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        ("image/png", PNG, 1),
        ("IMAGE/X-unknown; a=b", PNG, 1),
        ("application/octet-stream", PNG, 1),
        (FORM, form(("image", PNG), ("file", PNG)), 2),  # a single input needs no name
        ("application/json", dump([{"image": TEXT}] * 4), 4),
    ],
)
def test_bodies_of_one_picture(predictors: dict[bool, Predictor], kind: str, body: bytes, count: int) -> None:
    samples = read(predictors[True], kind, body)
    assert [sample["image"].tolist() for sample in samples] == [np.full((1, 4, 4), np.float32(0.2)).tolist()] * count


@pytest.mark.parametrize(
    ("is_alone", "kind", "status", "detail"),
    [
        (True, "", 415, "send a picture (Content-Type image/png, for example), JSON (application/json, with image) or"),
        (False, "", 415, "send JSON (application/json, with image, offset) or a form"),
        (False, "image/png", 415, "not 'image/png'"),
        (True, "text/plain", 415, "not 'text/plain'"),
        (True, "application/x-www-form-urlencoded", 415, "with curl, add -H 'Content-Type: image/png'"),
        (True, "application/json; charset=latin-1", 415, "send JSON in UTF-8, not in 'latin-1'"),
        (True, "multipart/form-data", 400, "no boundary"),
        (True, "x" * 5000, 415, f"not '{'x' * 100}'"),
    ],
)
def test_wrong_content_types(
    predictors: dict[bool, Predictor], is_alone: bool, kind: str, status: int, detail: str
) -> None:
    with pytest.raises(Problem) as caught:
        check_content_type(predictors[is_alone].card, kind, "")
    assert caught.value.status == status
    assert detail in caught.value.detail


def test_compressed_bodies_are_refused(predictors: dict[bool, Predictor]) -> None:
    with pytest.raises(Problem, match="send the body without Content-Encoding, not as 'gzip'"):
        check_content_type(predictors[True].card, "image/png", "gzip")


OFFSETS = [
    ("x", "offset: a text is no number"),
    (["x" * 1_000_000, *[1] * 10_000], "offset: a text is no number"),  # NumPy would take 40 GB
    ([1, None], "offset: null is no number"),
    ([1, {}], "offset: an object is no number"),
    ([1, 2, 3], "offset: an array (3,) of int64 has another shape than (2,)"),
    ([[1], [2, 3]], "offset: list is no array of float32"),
    ([True, False], "offset: an array (2,) of bool cannot be read as float32"),
    ([10**30, 1], "offset: an array (2,) of object cannot be read as float32"),
    ([1e39, 1], "offset: an array (2,) of float64 has a number that float32 cannot hold"),
]


@pytest.mark.parametrize(("offset", "detail"), OFFSETS, ids=[detail for _, detail in OFFSETS])
def test_wrong_numbers(predictors: dict[bool, Predictor], offset: Any, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        read(predictors[False], "application/json", dump([SAMPLE, SAMPLE | {"offset": offset}]))
    assert caught.value.status == 422
    assert caught.value.detail.startswith(f"sample 1: {detail}")


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        (b'{"image": 1, "offset": [1e999, 1]}', "image: a picture is its file in base64, as text"),
        (dump(SAMPLE).replace(b"[1,", b"[1e999,"), "offset: a number is too large"),
        (dump(SAMPLE).replace(b"[1, 2]", b"[" * 100 + b"]" * 100), "offset: the lists are nested too deep"),
        (dump(SAMPLE | {"image": TEXT + "!"}), "image: the text is no base64 without line breaks"),
        (dump(SAMPLE | {"image": TEXT[:40] + "\n" + TEXT[40:]}), "image: the text is no base64 without line breaks"),
        (dump(SAMPLE | {"image": TEXT + "ä"}), "image: the text is no base64 without line breaks"),
        (dump(SAMPLE | {"image": "data:image/png,abc"}), "image: the URL of a picture begins with data:image/png"),
        (dump(SAMPLE | {"image": "data:,"}), "image: the URL of a picture begins with data:image/png;base64,"),
        (dump(SAMPLE | {"image": "/etc/passwd"}), "image: the text is no base64"),
        (dump(SAMPLE | {"image": "../conftest"}), "image: the text is no base64"),
        (dump({"image": TEXT}), "the input 'offset' is missing"),
        (dump(SAMPLE | {"\ud800" * 1000: 1}), "no input is called '\ud800"),
        (dump(SAMPLE | {"x" * 1_000_000: 1}), f"no input is called '{'x' * 100}...'. The inputs are: image, offset"),
    ],
)
def test_wrong_samples(predictors: dict[bool, Predictor], text: bytes, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        read(predictors[False], "application/json", text)
    assert caught.value.status == 422
    assert caught.value.detail.startswith(detail)


@pytest.mark.parametrize(
    ("kind", "body", "status", "detail"),
    [
        ("application/json", b"{", 400, "the body cannot be read as JSON: Expecting property name"),
        ("application/json", b"[]", 400, "the body has no samples"),
        ("application/json", b"[1]", 400, "send an object with image, offset, or a list of such objects"),
        ("application/json", dump([SAMPLE] * 5), 413, "the body has 5 samples; a request may have 4"),
        (FORM, b"", 400, "the body is no multipart/form-data"),
        (FORM, form(("image", PNG), ("offset", b"1,2")), 400, "'offset' cannot be read as JSON"),
        (FORM, form(("image", PNG)), 422, "there are 1 of 'image', 0 of 'offset'"),
        (FORM, form(("image", PNG), ("other", b"1")), 422, "no input is called 'other'"),
        (FORM, form(*[("image", PNG)] * 9), 413, "a request may have 4 samples: it has more than 8 parts"),
    ],
)
def test_wrong_bodies(predictors: dict[bool, Predictor], kind: str, body: bytes, status: int, detail: str) -> None:
    with pytest.raises(Problem) as caught:
        read(predictors[False], kind, body)
    assert caught.value.status == status
    assert detail in caught.value.detail


@pytest.mark.parametrize(("error", "status"), [(FormatError, 415), (TooLargeError, 413), (InputError, 422)])
def test_status_of_a_picture_that_cannot_be_read(
    predictors: dict[bool, Predictor], monkeypatch: pytest.MonkeyPatch, error: type[InputError], status: int
) -> None:
    def fail(picture: Picture, source: Any) -> None:
        raise error("wrong")

    monkeypatch.setattr(Picture, "read", fail)
    with pytest.raises(Problem, match="image: wrong") as caught:
        read(predictors[True], "image/png", PNG)
    assert caught.value.status == status

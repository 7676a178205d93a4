"""JSON that Python's module would accept or write, but RFC 8259 does not."""

from typing import Any

import pytest

from project.deploy.server import strict_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, true, null, "\xc3\xa4"]}', {"a": [1, 2.5, True, None, "ä"]}),
        (b'\xef\xbb\xbf{"a": -1}', {"a": -1}),  # as editors of Windows save it
        (b"9007199254740993", 9007199254740993),
    ],
)
def test_json_is_read(text: bytes, value: Any) -> None:
    assert strict_json.loads(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b"[-Infinity]", "-Infinity is no number of JSON"),
        (b"9" * 5000, "a number has 5000 digits"),
        (b"[" * 100_000, "it is nested too deep"),
        (b'"\xff"', "it is not UTF-8"),
        ('"a"'.encode("utf-16"), "it is not UTF-8"),
        (b"", "Expecting value"),
        (b"{'a': 1}", "Expecting property name"),
        (b"[" + b"0," * strict_json.MAX_VALUES + b"0]", "it has more than 2000000 values"),
    ],
)
def test_other_texts_are_refused(text: bytes, message: str) -> None:
    with pytest.raises(strict_json.JsonError, match=message):
        strict_json.loads(text)


def test_written_text_is_json_in_utf_8() -> None:
    """Half a surrogate pair, which a client may send, cannot be written in UTF-8."""
    assert strict_json.dumps({"ä": "\ud800"}) == '{"ä":"\\ud800"}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict_json.dumps(float("nan"))

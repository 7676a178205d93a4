"""Forms are parsed in memory, and bounded."""

import pytest

from project.deploy.server.multipart import MultipartError, TooManyPartsError, parse_multipart

BOUNDARY = b"XX"


def part(content: bytes, header: bytes = b'Content-Disposition: form-data; name="a"') -> bytes:
    return b"--XX\r\n" + header + b"\r\n\r\n" + content + b"\r\n"


def test_parts_have_names_and_exact_contents() -> None:
    contents = [b"", b"\r\n--X\r\n\x00\xff", b"\r\n\r\n", b"x" * 100_000]
    names = [b"a", b'"\xc3\xa4"; filename="../../x"', b'"b"; filename=c.png\r\nContent-Type: image/png', b'"a%22b"']
    headers = [b"content-disposition: form-data; name=" + name for name in names]
    parts = parse_multipart(BOUNDARY, b"".join(map(part, contents, headers)) + b"--XX--\r\n", 4)
    assert [bytes(each.content) for each in parts] == contents
    assert [each.name for each in parts] == ["a", "ä", "b", 'a"b']


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "ends before its last boundary"),
        (b"garbage", "boundary"),
        (part(b"1"), "ends before its last boundary"),
        (b"--XX\r\nContent-Disp", "ends before its last boundary"),
        (part(b"1", b"Content-Type: text/plain") + b"--XX--", "has no `Content-Disposition"),
        (part(b"1", b"Content-Disposition: attachment; name=a") + b"--XX--", "has no `Content-Disposition"),
        (part(b"1", b"Content-Disposition: form-data") + b"--XX--", "has no `Content-Disposition"),
        (part(b"1", b"A: " + b"x" * 5000) + b"--XX--", "header size"),
        (part(b"1", b"\r\n".join([b"A: x"] * 9)) + b"--XX--", "header count"),
    ],
)
def test_other_bodies_are_refused(body: bytes, message: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MultipartError, match=message):
        parse_multipart(BOUNDARY, body, 4)
    assert caplog.text == ""


def test_number_of_parts_is_bounded() -> None:
    with pytest.raises(TooManyPartsError, match="more than 2 parts"):
        parse_multipart(BOUNDARY, part(b"1") * 3 + b"--XX--", 2)
    with pytest.raises(MultipartError):
        parse_multipart(b"X" * 1000, part(b"1"), 2)  # a boundary has at most 70 characters

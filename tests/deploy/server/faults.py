"""Random requests to a server of one grey picture, right ones and faulty ones, and what the server may answer."""

import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image

TOKEN = "open-sesame"
CLOSED = 0  # in the place of a status: the server closed the connection without an answer
BODY_SECONDS = 2.0  # of the server

JSON, PNG = "application/json", "image/png"
BOUNDARY = "XyZ"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@dataclass
class Exchange:
    """A connection's bytes, and the answers that are expected.

    Args:
        parts: bytes to send, and seconds to pause between them.
        expected: the statuses of each answer of which one is right; none if the client leaves before one can arrive.
        then: what the client does after it has sent all: "read", or leave with "close" or "reset".
    """

    parts: Sequence[bytes | float]
    expected: Sequence[set[int]]
    then: str = "read"


def head(
    length: object = None,
    kind: str | None = PNG,
    start: str = "POST /predict HTTP/1.1",
    token: str = TOKEN,
    extra: str = "",
) -> bytes:
    """Return the head of a request."""
    lines = [start, "Host: localhost", f"Authorization: Bearer {token}"]
    lines += [f"Content-Type: {kind}"] if kind is not None else []
    lines += [f"Content-Length: {length}"] if length is not None else []
    return ("\r\n".join([*lines, *extra.splitlines()]) + "\r\n\r\n").encode("latin-1")


def get(path: str, extra: str = "") -> bytes:
    """Return a request without a body."""
    return head(kind=None, start=f"GET {path} HTTP/1.1", extra=extra)


def whole(body: bytes, kind: str | None = PNG, **options: str) -> bytes:
    """Return a whole request."""
    return head(len(body), kind, **options) + body


def chunked(body: bytes, rng: Random) -> bytes:
    """Return a request whose body is sent in chunks."""
    parts, start = [head(extra="Transfer-Encoding: chunked")], 0
    while start < len(body):
        part = body[start : start + rng.randint(1, 100)]
        parts.append(b"%x\r\n%b\r\n" % (len(part), part))
        start += len(part)
    return b"".join([*parts, b"0\r\n\r\n"])


def form(*parts: tuple[str, bytes], end: str = f"--{BOUNDARY}--\r\n") -> bytes:
    """Return the body of a form; the first of each part follows `Content-Disposition: form-data; `."""
    written = []
    for line, content in parts:
        start = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {line}\r\n\r\n"
        written.append(start.encode("utf-8", "surrogateescape") + content + b"\r\n")
    return b"".join([*written, end.encode()])


def picture(rng: Random, size: int = 0, kind: str = "png", mode: str = "L") -> bytes:
    """Return the file of a random picture."""
    size = size or rng.randint(4, 12)
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "CMYK": 4, "LA": 2}[mode]
    shape = (size, size) if channels == 1 else (size, size, channels)
    pixels = np.frombuffer(rng.randbytes(size * size * channels), np.uint8).reshape(shape)
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, kind)
    return file.getvalue()


def text(value: object) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


def in_base64(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def bomb(side: int) -> bytes:
    """Return a small PNG file of a large black picture."""
    row, pack = b"\0" * (1 + side // 8), zlib.compressobj(9)
    data = b"".join(pack.compress(row * 64) for _ in range(side // 64 + 1)) + pack.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


BOMBS = [bomb(30_000), bomb(9_000)]  # the second is small enough for Pillow
SIGNATURES = [
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*", b"8BPS",
    b"\0\0\1\0", b"P5 9 9 255\n", b"%!PS-Adobe", b"\0\0\0\x0cjP  \r\n\x87\n", b"\x01\xda", b"qoif", b"DDS ",
]  # fmt: skip


def right(rng: Random) -> Exchange:
    """Pictures as they should be, in each form."""
    file, name = picture(rng), rng.choice(['name="image"', 'name="image"; filename="../../etc/passwd"', 'name="x"'])
    sample = {"image": rng.choice(["", "data:image/png;base64,"]) + in_base64(file)}
    requests = [
        whole(file), whole(file, "application/octet-stream"), whole(file, extra="Accept: image/png"),
        whole(text(sample), JSON), whole(text([sample] * 3), JSON),
        whole(form((name, file)), FORM), whole(form((name, file), (name, file)), FORM),
        whole(file, start="POST /predict?a=%00 HTTP/1.1"), whole(file, extra="Expect: 100-continue"),
        whole(file, extra="Accept: image/png;q=x, , */*"),
        whole(file, extra="Connection: close"), chunked(file, rng),
    ]  # fmt: skip
    return Exchange([rng.choice(requests)], [{200}])


def other_picture(rng: Random) -> Exchange:
    """Pictures of other formats, sizes and modes."""
    kinds = [("jpeg", "L"), ("jpeg", "CMYK"), ("gif", "L"), ("webp", "RGBA"), ("tiff", "CMYK"), ("png", "LA")]
    return Exchange([whole(picture(rng, rng.randint(1, 40), *rng.choice(kinds)))], [{200, 413, 415, 422}])


def damaged_picture(rng: Random) -> Exchange:
    """Pictures that are cut off, changed, or only noise."""
    kind = rng.choice(["png", "jpeg", "gif", "tiff", "webp", "bmp"])
    file = bytearray(picture(rng, rng.randint(4, 40), kind))
    what = rng.choice(["cut off", "changed", "noise"])
    if what == "cut off":
        del file[rng.randrange(len(file)) :]
    elif what == "changed":
        for _ in range(rng.randint(1, 20)):
            file[rng.randrange(len(file))] = rng.randrange(256)
    else:
        file[:] = rng.choice(SIGNATURES) + rng.randbytes(rng.randrange(200))
    return Exchange([whole(bytes(file))], [{200, 400, 413, 415, 422}])


def large_picture(rng: Random) -> Exchange:
    """Files that are small, but not the pictures in them."""
    file = rng.choice(BOMBS)
    requests = [whole(file), whole(text({"image": in_base64(file)}), JSON), whole(form(('name="image"', file)), FORM)]
    return Exchange([rng.choice(requests)], [{413}])


def wrong_json(rng: Random) -> Exchange:
    """JSON that is none, is nested deeply, or describes no picture."""
    file = in_base64(picture(rng))
    bodies = [
        b"", b"{", b"null", b"[]", b"{}", b"[{}]", b"NaN", b'"image"', b"[" * 100_000, b'{"image":' * 50_000,
        b"[" * 900 + b"]" * 900, b'{"image": 1' + b"0" * 5_000 + b"}", b"1" * 50_000, b'{"image": "\xff"}', b"\0",
        text({"image": file, "\ud800": 1}), text({"\ud800": file}), text({"image": "\ud800"}),
        text({"image": file + "\u00e9"}), text({"image": file[:-3]}), text({"image": "data:,x"}),
        text({"image": "data:text/html;base64,eA=="}), text({"image": None}), text({"image": [[0.5] * 4] * 4}),
        text({"image": {"image": file}}), text({"imagf": file}), text([{"image": file}] * 65),
        text([{"image": file}, None]), text([[{"image": file}]]), text({"image": "../cli.py"}),
        b'{"image": 1, "image": 2}', text({"image": float("inf")}), text(["image"] * 10_000), b"\xef\xbb\xbf{}",
    ]  # fmt: skip
    kind = rng.choice([JSON, JSON, f"{JSON}; charset=utf-16", f"{JSON}; charset=none", "application/JSON"])
    return Exchange([whole(rng.choice(bodies), kind)], [{400, 413, 415, 422}])


def wrong_form(rng: Random) -> Exchange:
    """Forms that are none, or have other parts than the net takes."""
    file, image = picture(rng), 'name="image"'
    bodies = [
        b"", b"--", file, form(), form((image, b"")), form((image, b"x")), form(("", file)),
        form((image, file), end=""), form(*[(image, b"x")] * 3_000),
        form(('name="' + "x" * 10_000 + '"', b"x")),
        form(('name="a"', b"x"), ('name="\udcff"', file)), form((image, file)).replace(b"form-data", b"x"),
        form((image + '; filename="\udcff"', b"x")), form((image, file))[5:],
        f"--{BOUNDARY}\r\n".encode() * 5_000, form((image + "\r\nX: " + "y" * 20_000, b"x")),
    ]  # fmt: skip
    kinds = ["", "; boundary=", "; boundary=\xe9", f"; boundary={'b' * 5_000}"]
    kind = rng.choice([FORM, FORM, FORM, "multipart/mixed; boundary=XyZ", "multipart/form-data" + rng.choice(kinds)])
    return Exchange([whole(rng.choice(bodies), kind)], [{400, 413, 415, 422}])


def wrong_request(rng: Random) -> Exchange:
    """Requests that HTTP allows, but not this server."""
    file, long = picture(rng), "x" * 5_000
    method = rng.choice(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
    choices: list[tuple[bytes, set[int]]] = [
        (whole(file, token=""), {401}), (whole(file, token="\xe9"), {401}), (whole(file, token="x" * 2_000), {401}),
        (whole(file, extra="Authorization: Basic eA=="), {200, 401}), (get("/predict"), {405}),
        (whole(file, start=f"{method} /predict HTTP/1.1"), {400, 405}), (get("/../../../etc/passwd"), {400, 404}),
        (get("/%2e%2e/cli.py"), {400, 404}), (get("//etc/passwd"), {404}), (get("/%00%ff"), {404}),
        (get(f"/{long}"), {404, 414}), (whole(file, start=f"POST /predict?{long} HTTP/1.1"), {200, 414}),
        (whole(file, "text/plain"), {415}), (whole(file, None), {200, 415}), (whole(file, "\xe9"), {400, 415}),
        (whole(file, "image/" + long), {200, 400, 415, 422}), (whole(b""), {400, 415, 422}),
        (head(10**12), {413}), (head(20_000_001), {413}), (head(None), {400, 411, 415, 422}),
        (whole(file, start="POST http://localhost/predict HTTP/1.1"), {200, 404}),  # only proxies send it
        (get("/", "Upgrade: websocket\nConnection: Upgrade"), {200, 400, 401, 426}),
        (whole(file, extra="Content-Encoding: gzip"), {200, 415}), (whole(file, extra="Expect: x"), {200, 400, 417}),
    ]  # fmt: skip
    sent, expected = rng.choice(choices)
    return Exchange([sent], [expected])


def broken_http(rng: Random) -> Exchange:
    """Bytes that are no HTTP, or whose lengths are wrong; some parsers read more of them than others."""
    file, in_chunks = picture(rng), head(extra="Transfer-Encoding: chunked")
    choices: list[bytes] = [
        rng.randbytes(rng.randint(1, 2_000)) + b"\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc" + rng.randbytes(300),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"get / http/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\nX\n\n", b"\r\n\r\n\r\n\0\0\0\0", b"A" * 200_000, head(-1) + file, head("x") + file,
        head("1" * 400) + file, head("5\r\nContent-Length: 6") + file, head("+5") + file,
        get("/", "X: " + "y" * 200_000), get("/", "\n".join(f"X{number}: y" for number in range(20_000))),
        get("/", "X\0: y"), in_chunks + b"zz\r\n", in_chunks + b"f" * 18 + b"\r\n", in_chunks + b"5\r\nabcdefgh\r\n",
        head(extra="Transfer-Encoding: what") + file, head(len(file), extra="Transfer-Encoding: chunked") + file,
    ]  # fmt: skip
    return Exchange([rng.choice(choices)], [{200, 400, 404, 405, 408, 411, 413, 415, 422, 431, 501, CLOSED}])


def slow(rng: Random) -> Exchange:
    """Bodies that arrive in pieces, of which some stop on the way."""
    file = picture(rng)
    first, last = head(len(file)), b""
    if rng.random() < 0.5:
        first, last = head(extra="Transfer-Encoding: chunked") + b"%x\r\n" % len(file), b"\r\n0\r\n\r\n"
    middle = rng.randint(1, len(file) - 1)
    if rng.random() < 0.5:
        return Exchange([first + file[:middle]], [{408}])
    return Exchange([first + file[:middle], 0.1, file[middle : middle + 5], 0.1, file[middle + 5 :] + last], [{200}])


def pipelined(rng: Random) -> Exchange:
    """Several requests at once, on one connection, of which none makes the server end it."""
    exchanges = [rng.choice([right, other_picture, damaged_picture])(rng) for _ in range(rng.randint(2, 8))]
    exchanges = [each for each in exchanges if not re.search(rb"Connection: close|100-continue", _first(each))]
    sent = b"".join(map(_first, exchanges))
    cut = rng.randint(0, len(sent))
    return Exchange([sent[:cut], 0.01, sent[cut:]], [each.expected[0] for each in exchanges])


def aborted(rng: Random) -> Exchange:
    """Clients that leave while they send, or while they wait."""
    sent = _first(rng.choice([right, large_picture, wrong_form])(rng))
    cut = rng.choice([rng.randrange(len(sent)), rng.randrange(min(len(sent), 200)), len(sent)])
    return Exchange([sent[:cut], rng.choice([0.0, 0.001, 0.01])], [], rng.choice(["close", "reset"]))


def _first(exchange: Exchange) -> bytes:
    (part,) = exchange.parts
    assert isinstance(part, bytes)
    return part


KINDS: dict[Callable[[Random], Exchange], float] = {
    right: 20, other_picture: 8, damaged_picture: 15, large_picture: 2, wrong_json: 10, wrong_form: 10,
    wrong_request: 10, broken_http: 10, slow: 3, pipelined: 6, aborted: 12,
}  # fmt: skip


def make_exchange(number: int) -> tuple[str, Exchange]:
    """Return the name and the bytes of an exchange; the number is its seed."""
    rng = Random(number)
    (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
    return kind.__name__, kind(rng)

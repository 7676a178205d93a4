"""Parts of a multipart/form-data body, parsed in memory: nothing is written to the disk."""

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # else clients that send garbage fill the log
_MAX_HEADERS, _MAX_HEADER_BYTES = 8, 4096  # of a part


class MultipartError(ValueError):
    """A body is not multipart/form-data; the message is for whoever sent it."""


class TooManyPartsError(MultipartError):
    """A body has more parts than allowed."""


@dataclass
class Part:
    """A part: the name of its field, and what it contains."""

    name: str = ""
    content: bytearray = field(default_factory=bytearray)


class _Parts:
    """Parts that a MultipartParser finds, by its callbacks."""

    def __init__(self, limit: int) -> None:
        self.limit, self.parts, self.is_complete = limit, list[Part](), False
        self._header, self._value = bytearray(), bytearray()
        self._has_name = False

    def begin(self) -> None:
        if len(self.parts) == self.limit:
            raise TooManyPartsError(f"it has more than {self.limit} parts")
        self.parts.append(Part())
        self._has_name = False

    def add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            kind, options = parse_options_header(bytes(self._value))
            if kind == b"form-data" and b"name" in options:
                name = options[b"name"].replace(b"%22", b'"')  # as browsers and curl write a quotation mark
                self.parts[-1].name = name.decode(errors="replace")
                self._has_name = True
        self._header, self._value = bytearray(), bytearray()

    def end_headers(self) -> None:
        if not self._has_name:
            raise MultipartError("a part has no `Content-Disposition: form-data; name=...`")

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content += memoryview(data)[start:end]

    def end(self) -> None:
        self.is_complete = True


def parse_multipart(boundary: bytes, body: bytes, limit: int) -> list[Part]:
    """Return the parts of a body.

    Args:
        boundary: the boundary that Content-Type tells.
        body: the body.
        limit: the most parts.

    Raises:
        TooManyPartsError: there are more parts.
        MultipartError: the body is no multipart/form-data, or ends too early.
    """
    parts = _Parts(limit)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_header,
                "on_header_value": parts.add_value,
                "on_header_end": parts.end_header,
                "on_headers_finished": parts.end_headers,
                "on_part_data": parts.add_content,
                "on_end": parts.end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )
        parser.write(body)
    except FormParserError as error:
        raise MultipartError(str(error)) from error
    if not parts.is_complete:
        raise MultipartError("it ends before its last boundary")
    return parts.parts

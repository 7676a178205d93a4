"""JSON as RFC 8259 defines it: Python's module accepts and writes more."""

import json
from typing import Any

# A value needs 64 bytes or more in Python, and may have two bytes in the text: 20 MB could become 600 MB.
MAX_VALUES = 2_000_000


class JsonError(ValueError):
    """A text is not JSON; the message is for whoever sent it."""


def loads(data: bytes) -> Any:
    """Return the value of a JSON text in UTF-8.

    Raises:
        JsonError: it is not JSON, names a key twice, or has more than MAX_VALUES values.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise JsonError(f"it has more than {MAX_VALUES} values")
    try:
        return json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=_to_dict, parse_constant=_refuse, parse_int=_parse_int
        )
    except JsonError:
        raise
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8: {error}") from error
    except RecursionError as error:
        raise JsonError("it is nested too deep") from error
    except ValueError as error:
        raise JsonError(str(error)) from error


def dumps(content: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # half a surrogate pair becomes \udXXX, as JSON writes it


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise JsonError(f"the key '{key[:100]}' occurs twice")
        values[key] = value
    return values


def _refuse(name: str) -> None:
    raise JsonError(f"{name} is no number of JSON")


def _parse_int(digits: str) -> int:
    if len(digits) > 40:  # beyond each dtype; Python's own error would explain how to raise its limit
        raise JsonError(f"a number has {len(digits)} digits")
    return int(digits)

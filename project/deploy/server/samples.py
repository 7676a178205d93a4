"""Samples in the body of a request: a picture, JSON, or several of them as multipart."""

import base64
import binascii
import math
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
from python_multipart.multipart import parse_options_header

from project.deploy.inputs import FormatError, InputError, Picture, TooLargeError
from project.deploy.model_card import ModelCard
from project.deploy.predictor import Predictor
from project.deploy.server import strict_json
from project.deploy.server.multipart import MultipartError, TooManyPartsError, parse_multipart
from project.deploy.server.problems import Problem
from project.deploy.server.uploads import check_pictures

Sample = dict[str, Any]  # what `Predictor.read` takes: bytes of pictures, nested lists of numbers
_MAX_NAME = 100  # characters of a client's text in a message
_MAX_DIMENSIONS = 32  # of NumPy
_KINDS = {str: "a text", dict: "an object", type(None): "null"}  # of JSON, by the types that Python reads them as


def read_samples(
    predictor: Predictor,
    content_type: str,
    body: bytes,
    limit: int,
    max_pixels: int,
) -> Generator[tuple[dict[str, np.ndarray], int], None, None]:
    """Yield the arrays of each sample in a body, and how many follow; decodes pictures, and so belongs in a thread.

    Args:
        predictor: the model.
        content_type: header of the request that says what the body is.
        body: the body.
        limit: the most samples.
        max_pixels: largest width x height of a picture.

    Raises:
        Problem: the body has another form (400, 415), too many samples or too large ones (413), or an input is not
            valid (422, or 415 for a picture of another format).
    """
    samples = _parse(predictor.card, content_type, body, limit)
    if not samples:
        raise Problem(400, "the body has no samples")
    if len(samples) > limit:
        raise Problem(413, f"the body has {len(samples)} samples; a request may have {limit}")
    for number, sample in enumerate(samples):
        prefix = f"sample {number}: " if len(samples) > 1 else ""
        yield _read(predictor, sample, max_pixels, prefix), len(samples) - number - 1


def check_content_type(card: ModelCard, content_type: str, encoding: str) -> None:
    """Raise Problem (415) if no body of a Content-Type and a Content-Encoding can be read."""
    kind, options = _split(content_type)
    if encoding.strip().lower() not in ("", "identity"):
        raise Problem(415, f"send the body without Content-Encoding, not as '{encoding[:_MAX_NAME]}'")
    if kind == "application/json" and options.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, f"send JSON in UTF-8, not in '{options['charset'][:_MAX_NAME]}'")
    if kind == "multipart/form-data" and not options.get("boundary"):
        raise Problem(400, "the Content-Type multipart/form-data has no boundary")
    if kind in ("application/json", "multipart/form-data") or (_is_raw(kind) and has_one_picture(card)):
        return
    wrong = f"not '{kind[:_MAX_NAME]}'" if kind else "and say so in Content-Type"
    hint = ""
    if kind == "application/x-www-form-urlencoded":  # as curl sends all data
        hint = f"; with curl, add -H 'Content-Type: {'image/png' if has_one_picture(card) else 'application/json'}'"
    raise Problem(415, f"send {_describe_bodies(card)}, {wrong}{hint}")


def _describe_bodies(card: ModelCard) -> str:
    """Return which bodies can be read, in words."""
    names = ", ".join(card.inputs)
    raw = "a picture (Content-Type image/png, for example), " if has_one_picture(card) else ""
    return f"{raw}JSON (application/json, with {names}) or a form (multipart/form-data, with {names})"


def _parse(card: ModelCard, content_type: str, body: bytes, limit: int) -> list[Sample]:
    kind, options = _split(content_type)
    if kind == "application/json":
        return _parse_json(card, body)
    if kind == "multipart/form-data":
        return _parse_form(card, options["boundary"].encode("latin-1"), body, limit)
    return [dict.fromkeys(card.inputs, body)]


def _parse_json(card: ModelCard, body: bytes) -> list[Sample]:
    content = _load(body, "the body")
    samples = content if isinstance(content, list) else [content]
    for sample in samples:
        if not isinstance(sample, dict):
            raise Problem(400, f"send an object with {', '.join(card.inputs)}, or a list of such objects, as JSON")
    return samples


def _parse_form(card: ModelCard, boundary: bytes, body: bytes, limit: int) -> list[Sample]:
    try:
        parts = parse_multipart(boundary, body, limit * len(card.inputs))
    except TooManyPartsError as error:
        raise Problem(413, f"a request may have {limit} samples: {error}") from error
    except MultipartError as error:
        raise Problem(400, f"the body is no multipart/form-data: {error}") from error
    values: dict[str, list[Any]] = {name: [] for name in card.inputs}
    for part in parts:
        name = next(iter(card.inputs)) if len(card.inputs) == 1 else part.name
        _check_name(card, name, "")
        content = bytes(part.content)
        values[name].append(content if isinstance(card.inputs[name], Picture) else _load(content, f"'{name}'"))
    counts = {name: len(each) for name, each in values.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
        raise Problem(422, f"each sample needs a part for each input; there are {told}")
    return [dict(zip(values, sample, strict=True)) for sample in zip(*values.values(), strict=True)]


def _load(data: bytes, name: str) -> Any:
    try:
        return strict_json.loads(data)
    except strict_json.JsonError as error:
        raise Problem(400, f"{name} cannot be read as JSON: {error}") from error


def _read(predictor: Predictor, sample: Sample, max_pixels: int, prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays of a sample; `prefix` begins the messages."""
    card = predictor.card
    for name in sample:
        _check_name(card, name, prefix)
    try:
        prepared = {name: _prepare(card, name, value) for name, value in sample.items()}
        check_pictures(card, prepared, max_pixels)
        return predictor.read(prepared)
    except InputError as error:
        status = 413 if isinstance(error, TooLargeError) else 415 if isinstance(error, FormatError) else 422
        raise Problem(status, f"{prefix}{error}") from error


def _check_name(card: ModelCard, name: str, prefix: str) -> None:
    if name not in card.inputs:
        shown = name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."
        raise Problem(422, f"{prefix}no input is called '{shown}'. The inputs are: {', '.join(card.inputs)}")


def _prepare(card: ModelCard, name: str, value: Any) -> Any:
    """Return a value of JSON as `Predictor.read` takes it; never a text, which would be the path of a file."""
    if isinstance(value, bytes):
        return value
    if isinstance(card.inputs[name], Picture):
        return _decode_base64(name, value)
    _check_numbers(name, value, 0)
    return value


def _decode_base64(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise InputError(f"{name}: a picture is its file in base64, as text")
    head, comma, rest = value.partition(",") if value.startswith("data:") else ("", "", value)
    if comma and not head.endswith(";base64"):
        raise InputError(f"{name}: the URL of a picture begins with data:image/png;base64, for example")
    try:
        return base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError) as error:  # the latter for text that is not ASCII
        raise InputError(f"{name}: the text is no base64 without line breaks: {error}") from error


def _check_numbers(name: str, value: Any, dimensions: int) -> None:
    """Raise InputError if a value is no number, or lists of them; NumPy would make all as long as the longest text."""
    if not isinstance(value, list):
        value = [value]
    elif dimensions == _MAX_DIMENSIONS:
        raise InputError(f"{name}: the lists are nested too deep")
    kinds = set(map(type, value))
    for kind in kinds - {bool, int, float, list}:
        raise InputError(f"{name}: {_KINDS[kind]} is no number")
    if math.inf in value or -math.inf in value:
        raise InputError(f"{name}: a number is too large")
    if list in kinds:
        for each in value:
            if isinstance(each, list):
                _check_numbers(name, each, dimensions + 1)


def _is_raw(kind: str) -> bool:
    return kind.startswith("image/") or kind == "application/octet-stream"


def has_one_picture(card: ModelCard) -> bool:
    """Return whether a picture is the only input, so that a body may be its file."""
    return [type(raw) for raw in card.inputs.values()] == [Picture]


def _split(content_type: str) -> tuple[str, Mapping[str, str]]:
    """Return the type and the parameters of a Content-Type."""
    kind, options = parse_options_header(content_type)
    return kind.decode("latin-1").lower(), {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in options.items()
    }

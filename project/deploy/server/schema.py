"""Description of the server for programs, as OpenAPI: what this very model takes and answers."""

from typing import Any

import numpy as np

from project.deploy.inputs import Input, Picture
from project.deploy.model_card import Length, ModelCard
from project.deploy.predictor import Predictor
from project.deploy.server.answers import find_pictures, is_label
from project.deploy.server.description import find_name
from project.deploy.server.samples import has_one_picture
from project.deploy.server.settings import Settings

Schema = dict[str, Any]

# What a client can send wrongly, or the server cannot do, for /predict.
PROBLEMS = {
    400: "the body cannot be read as what Content-Type says",
    401: "the token is missing or wrong",
    403: "the server has no token, and Host is a name of the Internet",
    408: "the body did not arrive in time",
    411: "the length of the body is missing",
    413: "the body, the number of samples, a picture or the answer is too large",
    415: "the model takes no such Content-Type, or no such picture",
    422: "an input is missing, unknown or not valid",
    500: "the server has a fault; its log says more",
    503: "the server has too many requests, or stops; Retry-After says when to try again",
    504: "the net did not answer in time",
}
_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}
_TEXT: Schema = {"type": "string"}
_FLOAT: Schema = {
    "description": "a number, or what JSON has no number for",
    "oneOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
}


def describe_api(predictor: Predictor, settings: Settings) -> Schema:
    """Return the OpenAPI document of the server.

    Args:
        predictor: the model.
        settings: settings of the server, whose limits are told.
    """
    inputs, shapes = predictor.card.inputs, predictor.card.shapes
    schemas = {
        "Sample": _object({name: _input_schema(raw, shapes[name]) for name, raw in inputs.items()}),
        "Answer": _answer_schema(predictor),
        "Float": _FLOAT,
        "Problem": _object({"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT}),
        "Model": _model_schema(),
    }
    ready = _get("Whether the server takes requests", _text())
    ready["responses"]["503"] = _problem("it starts or stops")
    document: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": find_name(predictor),
            "version": "1",
            "description": f"SHA-256 of the model: {predictor.sha256}.",
        },
        "paths": {
            "/predict": {"post": _predict_operation(predictor, settings)},
            "/model": {"get": _get("What the model takes and answers", _json(_reference("Model")))},
            "/metrics": {"get": _get("Counters of the server, for Prometheus", _text())},
            "/livez": {"get": _get("Whether the process answers", _text())},
            "/readyz": {"get": ready},
        },
        "components": {"schemas": schemas},
    }
    if settings.token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def _predict_operation(predictor: Predictor, settings: Settings) -> Schema:
    card, answers = predictor.card, _json(_reference("Answer"))
    if has_one_picture_answer(predictor):
        answers["content"]["image/png"] = {}
    operation: Schema = {
        "operationId": "predict",
        "summary": "Predict one or several samples",
        "requestBody": {"required": True, "content": _bodies(card, settings.limits.samples)},
        "responses": {"200": {"description": "the predictions, in the order of the samples", **answers}},
    }
    for status, description in PROBLEMS.items():
        if status != (403 if settings.token else 401):
            operation["responses"][str(status)] = _problem(description, _HEADERS.get(status))
    if settings.token:
        operation["security"] = [{"token": []}]
    return operation


def _bodies(card: ModelCard, samples: int) -> Schema:
    """Return the forms of a request to /predict, by Content-Type."""
    sample = _reference("Sample")
    several = {"type": "array", "items": sample, "minItems": 1, "maxItems": samples}
    parts, encodings = {}, {}
    for name, raw in card.inputs.items():
        is_file = isinstance(raw, Picture)
        value = {} if is_file else _input_schema(raw, card.shapes[name])
        parts[name] = {"type": "array", "items": value, "minItems": 1, "maxItems": samples}
        encodings[name] = {"contentType": "image/*, application/octet-stream" if is_file else "application/json"}
    form = {
        "type": "object",
        "description": "a part named after an input, and several of that name for several samples",
        "properties": parts,
        "required": list(card.inputs),
    }
    bodies: Schema = {
        "application/json": {"schema": {"description": "a sample, or a list of samples", "oneOf": [sample, several]}},
        "multipart/form-data": {"schema": form, "encoding": encodings},
    }
    if not has_one_picture(card):
        return bodies
    file = {"schema": {"description": "the file of a picture"}}
    return {"image/*": file, "application/octet-stream": file, **bodies}


def _input_schema(raw: Input, lengths: tuple[Length, ...]) -> Schema:
    """Return the schema of an input in JSON."""
    if not isinstance(raw, Picture):
        return _array_schema(_number_schema(np.dtype(raw.dtype)), lengths)
    color = "grey" if raw.channels == 1 else "RGB"
    if raw.size is not None:
        size = f"scaled to {raw.size} x {raw.size}"
    else:
        size = f"whose height is {lengths[1].describe()}, and width {lengths[2].describe()}"
    return {
        "type": "string",
        "contentEncoding": "base64",
        "description": f"the file of a picture in base64, also as a data URL; read as {color}, {size}",
    }


def _array_schema(value: Schema, lengths: tuple[Length, ...]) -> Schema:
    """Return the schema of nested lists."""
    for length in reversed(lengths):
        value = {"type": "array", "items": value, "minItems": length.minimum}
        if length.maximum is not None:
            value["maxItems"] = length.maximum
        if length.step != 1:
            value["description"] = f"its length is {length.describe()}"
    return value


def _number_schema(dtype: np.dtype[Any]) -> Schema:
    """Return the schema of a number; OpenAPI calls float32 `float`, and integers as NumPy does."""
    if dtype.kind == "b":
        return {"type": "boolean"}
    if dtype.kind in "iu":
        return {"type": "integer", "format": dtype.name}
    return {"type": "number", "format": {"float32": "float", "float64": "double"}.get(dtype.name, dtype.name)}


def _answer_schema(predictor: Predictor) -> Schema:
    """Return the schema of what /predict answers with 200."""
    card, pixels = predictor.card, {"type": "integer", "minimum": 1}
    classes = {name: card.classes[name] for name in card.answers if name in card.classes}
    classes = {name: names for name, names in classes.items() if is_label(predictor.empty_answer(name))}
    numbers = {name: Length(len(names), len(names)) for name, names in classes.items()}
    probabilities = {name: _array_schema({"type": "number"}, (number,)) for name, number in numbers.items()}
    pictures = [name for name, raw in card.inputs.items() if isinstance(raw, Picture)]
    prediction = _object(
        {
            "answers": _object({name: _value_schema(predictor, name) for name in card.answers}),
            "class_names": _object({name: {"enum": names} for name, names in classes.items()}, is_complete=False),
            "probabilities": _object(probabilities, is_complete=False),
            "sizes": _object({name: _array_schema(pixels, (Length(2, 2),)) for name in pictures}),
        }
    )
    predictions = {"type": "array", "items": prediction, "minItems": 1}
    return _object(
        {"predictions": predictions, "milliseconds": {"type": "number"}, "sha256": {"const": predictor.sha256}}
    )


def _value_schema(predictor: Predictor, name: str) -> Schema:
    """Return the schema of an answer."""
    value = predictor.empty_answer(name)
    if name in find_pictures(predictor):
        return {"type": "string", "description": "a PNG file as `data:image/png;base64,...`"}
    number = _reference("Float") if value.dtype.kind == "f" else _number_schema(value.dtype)
    return _array_schema(number, (Length(0),) * value.ndim)


def has_one_picture_answer(predictor: Predictor) -> bool:
    """Return whether the answer for a sample has exactly one picture, which can be the whole response."""
    return len(find_pictures(predictor)) == 1


def _model_schema() -> Schema:
    """Return the schema of what /model answers."""
    by_name = {"type": "object"}
    texts = {"type": "object", "additionalProperties": _TEXT}
    return _object(
        {
            "name": _TEXT,
            "sha256": _TEXT,
            "inputs": by_name,
            "shapes": by_name,
            "answers": {"type": "array", "items": _TEXT},
            "dtypes": texts,
            "classes": {"type": "object", "additionalProperties": {"type": "array", "items": _TEXT}},
            "checkpoint": texts,
            "git_commit": {"type": ["string", "null"]},
            "versions": texts,
            "largest_picture": {"type": ["integer", "null"]},
            "max_pixels": {"type": "integer"},
            "limits": by_name,
            "needs_token": {"type": "boolean"},
        }
    )


def _object(properties: Schema, is_complete: bool = True) -> Schema:
    """Return the schema of an object with these keys, of which none may be missing if it is complete."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | {"required": list(properties)} if is_complete else schema


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _text() -> Schema:
    return {"content": {"text/plain": {"schema": _TEXT}}}


def _get(summary: str, answer: Schema) -> Schema:
    return {"summary": summary, "responses": {"200": {"description": summary, **answer}}}


def _problem(description: str, header: str | None = None) -> Schema:
    """Return the response of a problem, which may have a header."""
    content = {"application/problem+json": {"schema": _reference("Problem")}}
    response: Schema = {"description": description, "content": content}
    return response | {"headers": {header: {"schema": _TEXT}}} if header else response

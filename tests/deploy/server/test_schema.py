"""/openapi.json, which must describe what the server takes and answers for its model."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from project.deploy import server
from project.deploy.inputs import Numbers, Picture
from project.deploy.model_card import Length
from project.deploy.predictor import Predictor
from project.deploy.server.schema import PROBLEMS, describe_api
from project.deploy.server.settings import Limits, Settings
from tests.deploy.demo.nets import write_frames
from tests.deploy.onnx_files import CARD, card_with, write_model
from tests.deploy.server.conftest import Client
from tests.deploy.server.picture_model import png

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEUlEQVR4nGP8z8DAwMSAQgAAE1EBB4BOjR4AAAAASUVORK5CYII="
SAMPLE = {"image": PNG, "offset": [1, 2]}
_TYPES: dict[str, Any] = {
    **{"object": dict, "array": list, "string": str},
    **{"integer": int, "number": int | float, "null": type(None)},
}


def has_type(value: Any, name: str) -> bool:
    """Return whether a value has a type of JSON schema; true and false are no numbers."""
    return type(value) is bool if name == "boolean" else isinstance(value, _TYPES[name]) and type(value) is not bool


def find_faults(document: Any, schema: Any, value: Any, path: str = "") -> list[str]:
    """Return where a value differs from a JSON schema; a keyword that is not known here is an error."""
    schema = dict(schema)
    if "$ref" in schema:
        return find_faults(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, path)
    for annotation in ("description", "contentEncoding", "format"):
        schema.pop(annotation, None)
    if "oneOf" in schema:
        found = [find_faults(document, each, value, path) for each in schema["oneOf"]]
        return [] if sum(not each for each in found) == 1 else [f"{path}: not one of: {found}"]
    faults = []
    for keyword, expected in schema.items():
        match keyword:
            case "type":
                names = [expected] if isinstance(expected, str) else expected
                if not any(has_type(value, name) for name in names):
                    return [f"{path}: {value!r} is no {expected}"]
            case "const" | "enum":
                faults += [] if value in (expected if keyword == "enum" else [expected]) else [f"{path}: {value!r}"]
            case "minimum":
                faults += [f"{path}: {value} < {expected}"] if value < expected else []
            case "minItems" | "maxItems":
                sign = 1 if keyword == "minItems" else -1
                faults += [f"{path}: {len(value)} items"] if sign * len(value) < sign * expected else []
            case "items":
                for number, item in enumerate(value):
                    faults += find_faults(document, expected, item, f"{path}/{number}")
            case "required":
                faults += [f"{path}: {name} is missing" for name in expected if name not in value]
            case "properties":
                for name in value.keys() & expected.keys():
                    faults += find_faults(document, expected[name], value[name], f"{path}/{name}")
            case "additionalProperties":
                for name in value.keys() - schema.get("properties", {}).keys():
                    faults += (
                        find_faults(document, expected, value[name], f"{path}/{name}")
                        if expected
                        else [f"{path}/{name}"]
                    )
            case _:
                raise AssertionError(f"{path}: {keyword}")
    return faults


def find_faults_of_answer(document: Any, method: str, path: str, status: int, kind: str, value: Any) -> list[str]:
    """Return where an answer differs from what the document says of its status and Content-Type."""
    response = document["paths"][path][method]["responses"][str(status)]
    return find_faults(document, response["content"][kind]["schema"], value)


def test_answers_are_as_described(shared_client: Client) -> None:
    document = shared_client.request("GET", "/openapi.json").json
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for sent in (SAMPLE, [SAMPLE, SAMPLE]):
        assert find_faults(document, body, sent) == []
        answer = shared_client.request("POST", "/predict", json.dumps(sent).encode(), Content_Type="application/json")
        assert find_faults_of_answer(document, "post", "/predict", 200, "application/json", answer.json) == []
        changed = answer.json | {"sha256": "0"}
        assert find_faults_of_answer(document, "post", "/predict", 200, "application/json", changed) == ["/sha256: '0'"]
    model = shared_client.request("GET", "/model").json
    assert find_faults_of_answer(document, "get", "/model", 200, "application/json", model) == []
    for path in ("/metrics", "/livez", "/readyz"):
        answer = shared_client.request("GET", path)
        described = document["paths"][path]["get"]["responses"][str(answer.status)]["content"]
        assert [answer.headers["content-type"].partition(";")[0]] == list(described)


def test_a_body_is_invalid_where_the_server_refuses_it(shared_client: Client) -> None:
    """The answer is a problem, as described."""
    document = shared_client.request("GET", "/openapi.json").json
    wrong_offsets: list[Any] = [[1, 2, 3], ["1", "2"], [True, False], [[1], [2]], 1, None]
    wrong = [("offset", SAMPLE | {"offset": value}) for value in wrong_offsets]
    for fault, sent in [*wrong, ("image", {"offset": [1, 2]}), ("other", SAMPLE | {"other": 1})]:
        answer = shared_client.request("POST", "/predict", json.dumps(sent).encode(), Content_Type="application/json")
        assert fault in find_faults(document, {"$ref": "#/components/schemas/Sample"}, sent)[0]
        assert (answer.status, fault in answer.json["detail"]) == (422, True)
        kind = answer.headers["content-type"]
        assert find_faults_of_answer(document, "post", "/predict", 422, kind, answer.json) == []


def test_pictures_and_probabilities_are_as_described(pictures: Client) -> None:
    document = pictures.request("GET", "/openapi.json").json
    described = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]
    for accept in ("application/json", "image/png"):
        sent = png(np.full((2, 3), 51))
        answer = pictures.request("POST", "/predict", sent, Content_Type="image/png", Accept=accept)
        assert (answer.status, answer.headers["content-type"]) == (200, accept)
        assert accept in described
        if accept == "application/json":
            (prediction,) = answer.json["predictions"]
            assert prediction["answers"]["inverse"].startswith("data:image/png;base64,")
            assert prediction["probabilities"].keys() == prediction["class_names"].keys() == {"label"}
            assert find_faults(document, described[accept]["schema"], answer.json) == []


def test_a_sequence_is_no_picture(start: Callable[..., Client], tmp_path: Path) -> None:
    """Not even one of a length that pictures have as channels."""
    client = start(model=write_frames(tmp_path / "model.onnx"))
    document = client.request("GET", "/openapi.json").json
    for length in (1, 2, 3):
        frames = [[[0.25, 0.5], [0.75, 1]]] * length
        body = json.dumps({"frames": frames}).encode()
        answer = client.request("POST", "/predict", body, Content_Type="application/json", Accept="image/png")
        assert [prediction["answers"] for prediction in answer.json["predictions"]] == [{"same": frames}]
        assert find_faults_of_answer(document, "post", "/predict", 200, "application/json", answer.json) == []


def test_a_token_is_described_where_it_is_needed(pictures: Client, shared_client: Client) -> None:
    document = pictures.request("GET", "/openapi.json").json
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    operation = document["paths"]["/predict"]["post"]
    assert operation["security"] == [{"token": []}]
    assert operation["responses"].keys() == {"200", *map(str, PROBLEMS)} - {"403"}
    assert "sécret" not in json.dumps(document, ensure_ascii=False)
    open_document = shared_client.request("GET", "/openapi.json").json
    responses = open_document["paths"]["/predict"]["post"]["responses"]
    assert responses.keys() == {"200", *map(str, PROBLEMS)} - {"401"}
    assert "securitySchemes" not in open_document["components"]


def test_every_problem_of_the_server_is_described() -> None:
    files = Path(server.__file__).parent.glob("*.py")
    raised = {int(status) for file in files for status in re.findall(r"Problem\(\s*(\d+)", file.read_text())}
    assert raised >= {401, 408, 413, 500, 503}
    assert raised <= PROBLEMS.keys()


class FakePredictor(Predictor):
    """A model that has only a card, and answers of given shapes."""

    def __init__(self, card: Any, answers: dict[str, np.ndarray]) -> None:
        self.path, self.card, self._answers = Path("model.onnx"), card, answers
        self.sha256 = "0"

    def empty_answer(self, name: str) -> np.ndarray:
        return self._answers[name]


def describe(inputs: dict[str, Any], shapes: dict[str, Any], answers: dict[str, np.ndarray]) -> Any:
    card = replace(CARD, inputs=inputs, shapes=shapes, answers={name: name for name in answers}, classes={})
    return describe_api(FakePredictor(card, answers), Settings(Path("model.onnx"), limits=Limits(samples=5)))


def test_a_picture_may_be_the_body_only_if_it_is_the_only_input() -> None:
    picture, size = Picture(channels=3), (Length(3, 3), Length(8, None, 8), Length(8, None, 8))
    alone = describe({"image": picture}, {"image": size}, {"denoised": np.empty((3, 1, 1), np.float32)})
    operation = alone["paths"]["/predict"]["post"]
    kinds = ["image/*", "application/octet-stream", "application/json", "multipart/form-data"]
    assert list(operation["requestBody"]["content"]) == kinds
    assert list(operation["responses"]["200"]["content"]) == ["application/json", "image/png"]
    assert "at least 8 in steps of 8" in alone["components"]["schemas"]["Sample"]["properties"]["image"]["description"]
    two = describe({"a": picture, "b": picture}, {"a": size, "b": size}, {"score": np.empty((), np.float32)})
    operation = two["paths"]["/predict"]["post"]
    assert list(operation["requestBody"]["content"]) == kinds[2:]
    assert list(operation["responses"]["200"]["content"]) == ["application/json"]


def test_shapes_and_dtypes_of_numbers() -> None:
    inputs = {"x": Numbers((2, None)), "n": Numbers((), "int64"), "is_missing": Numbers((3,), "bool")}
    shapes = {"x": (Length(2, 2), Length(1, 9, 2)), "n": (), "is_missing": (Length(3, 3),)}
    document = describe(inputs, shapes, {"mask": np.empty((1, 1), np.int64)})
    assert document["components"]["schemas"]["Sample"]["properties"] == {
        "x": {
            "type": "array",
            "minItems": 2,
            "maxItems": 2,
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 9,
                "description": "its length is from 1 to 9 in steps of 2",
                "items": {"type": "number", "format": "float"},
            },
        },
        "n": {"type": "integer", "format": "int64"},
        "is_missing": {"type": "array", "minItems": 3, "maxItems": 3, "items": {"type": "boolean"}},
    }
    parts = document["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert parts["schema"]["properties"]["n"]["maxItems"] == 5
    assert parts["encoding"]["n"] == {"contentType": "application/json"}
    answers = document["components"]["schemas"]["Answer"]["properties"]["predictions"]["items"]["properties"]["answers"]
    assert find_faults(document, answers, {"mask": [[0, 1], [1, 0]]}) == []
    assert find_faults(document, answers, {"mask": [0, 1]}) != []


def test_empty_answers_have_the_dimensions_of_real_ones(tmp_path: Path) -> None:
    """The sum of all samples has no row for each, and a free length is 0."""
    assert Predictor(write_frames(tmp_path / "frames.onnx")).empty_answer("same").shape == (0, 2, 2)
    answers = {"shifted": "net_shifted", "is_bright": "is_bright", "total": "total"}
    predictor = Predictor(write_model(tmp_path / "model.onnx", card_with(answers=answers)))
    for name, value in predictor.predict(image=np.zeros((4, 4), np.uint8), offset=[1, 2]).items():
        empty = predictor.empty_answer(name)
        assert (empty.shape, empty.dtype) == (value.shape, value.dtype)

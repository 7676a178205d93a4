"""Requests and their answers, over HTTP."""

import json

from tests.deploy.server.conftest import Client


def test_prediction_of_json(client: Client) -> None:
    image = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEUlEQVR4nGP8z8DAwMSAQgAAE1EBB4BOjR4AAAAASUVORK5CYII="
    answer = client.request(
        "POST", "/predict", json.dumps({"image": image, "offset": [1, 2]}).encode(), Content_Type="application/json"
    )
    assert answer.status == 200, answer.body
    (prediction,) = answer.json["predictions"]
    assert prediction == {
        "answers": {"shifted": [2.0, 3.0], "is_bright": 1},
        "class_names": {"is_bright": "bright"},
        "probabilities": {},
        "sizes": {"image": [4, 4]},
    }

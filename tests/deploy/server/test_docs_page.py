"""The page /docs: it loads nothing from elsewhere, and its code works."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
from PIL import Image

from project.deploy.inputs import Numbers, Picture
from project.deploy.model_card import Length
from project.deploy.server.code_examples import curl_example, python_example
from tests.deploy.onnx_files import CARD, card_with, write_model
from tests.deploy.server.conftest import Client
from tests.deploy.server.test_schema import FakePredictor

URL = "http://127.0.0.1:8000/predict"


def code_of(page: str, name: str) -> str:
    (code,) = re.findall(rf'<pre id="{name}".*?>(.*?)</pre>', page, re.S)
    return unescape(code)


def test_the_page_loads_only_files_of_the_server(shared_client: Client) -> None:
    answer = shared_client.request("GET", "/docs")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")
    page = answer.body.decode()
    loaded = re.findall(r'(?:src|href)="(.*?)"', page)
    assert set(loaded) >= {"demo.css", "docs.css", "openapi.json"}
    for path in loaded:
        assert shared_client.request("GET", "/" + path.removeprefix("./")).status == 200
    assert not re.search(r"<script|<style| style=| on\w+=", page)


def test_the_page_names_every_path_status_and_type(shared_client: Client) -> None:
    document = shared_client.request("GET", "/openapi.json").json
    page = unescape(shared_client.request("GET", "/docs").body.decode())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            for status, response in operation["responses"].items():
                cells = [status, response["description"], ", ".join(response["content"])]
                cells = cells if path == "/predict" else [name, *cells]
                assert f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" in page
    for kind in document["paths"]["/predict"]["post"]["requestBody"]["content"]:
        assert f"<tr><td>{kind}</td>" in page
    for name in document["components"]["schemas"]:
        assert f"<summary>{name}</summary>" in page


def test_text_of_others_is_escaped(start: Callable[..., Client], tmp_path: Path) -> None:
    """The address comes from the client, and names of classes from the file, also half of a surrogate pair."""
    names = {"is_bright": ["</pre><script>", "\ud800"]}
    client = start(model=write_model(tmp_path / "model.onnx", card_with(classes=names)), token="open-sesame")
    page = client.request("GET", "/docs", Host="example.org:1").body.decode()
    assert "http://example.org:1/predict" in page
    assert "&lt;/pre&gt;&lt;script&gt;" in page
    page += client.request("GET", "/docs", Host='"><script>').body.decode()
    assert "<script" not in page
    assert json.dumps(names["is_bright"])[1:-1] in json.dumps(client.request("GET", "/openapi.json").json)


def test_code_of_the_page_works(start: Callable[..., Client], tmp_path: Path) -> None:
    """Python as it is; curl where it is installed. The model takes a picture and numbers."""
    page = start(token="secret").request("GET", "/docs").body.decode()
    Image.fromarray(np.full((6, 8), 200, np.uint8)).save(tmp_path / "image.png")
    environment = {"SERVE_TOKEN": "secret", "PATH": "/usr/bin:/bin"}
    commands = [[sys.executable, "-c", code_of(page, "python")]]
    if shutil.which("curl", path=environment["PATH"]):
        commands.append(["sh", "-c", code_of(page, "curl")])
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert "bright" in done.stdout, done.stdout


def test_code_for_one_picture_that_becomes_another() -> None:
    card = card_with(inputs={"noisy": Picture(channels=3)}, answers={"clean": "clean"}, classes={})
    predictor = FakePredictor(card, {"clean": np.empty((3, 1, 1), np.float32)})
    assert curl_example(predictor, URL, has_token=False) == (
        "curl http://127.0.0.1:8000/predict \\\n"
        "  -H 'Accept: image/png' \\\n"
        "  --output answer.png \\\n"
        "  -H 'Content-Type: image/png' \\\n"
        "  --data-binary @noisy.png"
    )
    assert python_example(predictor, URL, has_token=False) == (
        "from pathlib import Path\n"
        "from urllib.request import Request, urlopen\n\n"
        'headers = {"Content-Type": "image/png"}\n'
        'headers["Accept"] = "image/png"\n'
        'request = Request("http://127.0.0.1:8000/predict", Path("noisy.png").read_bytes(), headers)\n'
        "with urlopen(request) as response:\n"
        '    Path("answer.png").write_bytes(response.read())\n'
    )


def test_code_for_numbers_does_not_write_many() -> None:
    """A vector is written out; a matrix of thousands of numbers is an expression, or a file."""
    inputs = {"it's": Numbers((2,)), "n": Numbers((), "int64"), "matrix": Numbers((100, None))}
    shapes = {"it's": (Length(2, 2),), "n": (), "matrix": (Length(100, 100), Length(50))}
    predictor = FakePredictor(card_with(inputs=inputs, shapes=shapes), {name: np.empty(()) for name in CARD.answers})
    assert curl_example(predictor, URL, has_token=False).endswith("--data @sample.json")
    code = python_example(predictor, URL, has_token=False)
    (text,) = re.findall(r"^sample = (.*?^})", code, re.M | re.S)
    assert eval(text) == {"it's": [0.0, 0.0], "n": 0, "matrix": [[0.0] * 50] * 100}
    few = FakePredictor(card_with(inputs={"it's": Numbers((2,))}, shapes=shapes), predictor._answers)
    assert curl_example(few, URL, has_token=False).endswith("""--data '{"it'"'"'s": [0.0, 0.0]}'""")

"""Options of the server become its settings."""

from pathlib import Path
from typing import Any

import pytest

from project.deploy.server.options import read_settings
from project.deploy.server.settings import Settings

TOKEN = {"SERVE_TOKEN": "correct-horse"}


@pytest.mark.parametrize(
    ("argv", "environ", "settings"),
    [
        ("", {}, {}),
        ("--port 0 --port=81", {}, {"port": 81}),
        ("--max_pixels 5000 --workers 3", {}, {"max_pixels": 5000, "workers": 3}),
        ("--host localhost", {}, {"host": "127.0.0.1"}),
        ("--host 127.9.9.9", {}, {"host": "127.9.9.9"}),
        ("--host ::1", {}, {"host": "::1"}),
        ("--host 0.0.0.0", TOKEN, {"host": "0.0.0.0", "token": "correct-horse"}),
        ("--host=", TOKEN, {"host": "0.0.0.0", "token": "correct-horse"}),
        ("--host ::", TOKEN, {"host": "::", "token": "correct-horse"}),
        ("--cors https://example.org", {}, {"cors": "https://example.org"}),
        ("--cors https://Example.org:443", {}, {"cors": "https://example.org"}),
        ("--cors http://[::1]:8080", {}, {"cors": "http://[::1]:8080"}),
    ],
)
def test_values(argv: str, environ: dict[str, str], settings: dict[str, Any], tmp_path: Path) -> None:
    """Addresses and origins are as sockets and browsers name them, so that they can be compared."""
    model = tmp_path / "model.onnx"
    model.touch()
    expected = Settings(model=model, **settings)
    assert read_settings(["--model", str(model), *argv.split()], environ) == expected


@pytest.mark.parametrize("given", ["", "export", "export/model.onnx"])
def test_a_run_means_its_export(given: str, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    model = tmp_path / "export/model.onnx"
    model.touch()
    assert read_settings([f"--model={tmp_path / given}"], {}).model == model

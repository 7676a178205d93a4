"""The demo page: HTML, CSS and JavaScript without a framework, made from `/model`.

Imports no other package of the project. `index.html` loads `demo.js`; the page `/docs` shares `demo.css`.
"""

from importlib.resources import files


def read_files() -> dict[str, bytes]:
    """Return the files of the page, by name."""
    return {file.name: file.read_bytes() for file in files(__package__).iterdir() if not file.name.startswith("__")}

"""The page /docs: the OpenAPI document as plain HTML, which loads nothing from elsewhere, and code to copy."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from project.deploy.predictor import Predictor
from project.deploy.server import strict_json
from project.deploy.server.code_examples import curl_example, python_example
from project.deploy.server.schema import Schema, describe_api
from project.deploy.server.settings import Settings

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · requests</title>
<link rel="icon" href="favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="demo.css">
<link rel="stylesheet" href="docs.css">
</head>
<body class="docs">
<header class="top">
<p class="eyebrow">Requests</p>
<h1>{title}</h1>
<p>{description}</p>
<p><a href="./">Demo</a> · <a href="openapi.json">OpenAPI document</a></p>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def add_docs(app: FastAPI, predictor: Predictor, settings: Settings) -> None:
    """Add /openapi.json and /docs.

    Args:
        app: the application, which has none of them.
        predictor: the model.
        settings: settings of the server.
    """
    document, has_token = describe_api(predictor, settings), settings.token is not None
    content = strict_json.dumps(document)

    async def openapi(request: Request) -> Response:
        return Response(content, media_type="application/json")

    async def docs(request: Request) -> Response:
        url = f"{str(request.base_url).rstrip('/')}/predict"
        examples = {
            "curl": curl_example(predictor, url, has_token),
            "Python": python_example(predictor, url, has_token),
        }
        page = render_docs(document, examples)
        return Response(page.encode(errors="backslashreplace"), media_type="text/html")  # half a surrogate pair

    app.add_route("/openapi.json", openapi, methods=["GET"])
    app.add_route("/docs", docs, methods=["GET"])


def render_docs(document: Schema, examples: dict[str, str]) -> str:
    """Return an OpenAPI document as a page.

    Args:
        document: the document.
        examples: requests to /predict, by the program that sends them.
    """
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    title, predict = next(item for item in operations.items() if "requestBody" in item[1])
    others = [(name, *answer) for name in operations if name != title for answer in _answers(operations[name])]
    schemas = [_details(name, schema) for name, schema in document["components"]["schemas"].items()]
    sections = [
        _section(_code(title), _render_predict(predict, examples)),
        _section("Other requests", [_table(("request", "status", "answer", "Content-Type"), [*map(_cells, others)])]),
        _section("Schemas", schemas),
    ]
    info = document["info"]
    return _PAGE.format(
        title=escape(info["title"]), description=escape(info["description"]), sections="\n".join(sections)
    )


def _render_predict(operation: Schema, examples: dict[str, str]) -> list[str]:
    """Return what the page says of /predict."""
    parts = [f"<p>{escape(operation['summary'])}.</p>"]
    for name, code in examples.items():
        parts.append(f'<h3>With {name}</h3>\n<pre id="{name.lower()}" tabindex="0">{escape(code)}</pre>')
    content = operation["requestBody"]["content"]
    bodies = [_cells((kind, body["schema"]["description"])) for kind, body in content.items()]
    parts += ["<h3>Bodies</h3>", _table(("Content-Type", "body"), bodies)]
    parts += [_details(kind, body) for kind, body in content.items()]
    answers = [_cells(answer) for answer in _answers(operation)]
    return [*parts, "<h3>Answers</h3>", _table(("status", "answer", "Content-Type"), answers)]


def _answers(operation: Schema) -> list[tuple[str, str, str]]:
    """Return the status, the meaning and the Content-Types of each answer."""
    return [
        (status, answer["description"], ", ".join(answer["content"]))
        for status, answer in operation["responses"].items()
    ]


def _section(title: str, parts: list[str]) -> str:
    return "\n".join(['<section class="card">', f"<h2>{title}</h2>", *parts, "</section>"])


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _cells(texts: tuple[str, ...]) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)


def _table(head: tuple[str, ...], rows: Iterable[str]) -> str:
    """Return a table of HTML, of which each row is given as cells."""
    lines = ["".join(f'<th scope="col">{cell}</th>' for cell in head), *rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scrolling" tabindex="0"><table>\n{body}\n</table></div>'


def _details(title: str, value: Any) -> str:
    """Return JSON that opens with a click."""
    code = escape(json.dumps(value, indent=2, ensure_ascii=False))
    return f'<details><summary>{escape(title)}</summary><pre tabindex="0">{code}</pre></details>'

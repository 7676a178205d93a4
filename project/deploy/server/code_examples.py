"""Requests to this very model, as code to copy."""

import json
import math
import shlex

import numpy as np

from project.deploy.inputs import Picture
from project.deploy.predictor import Predictor
from project.deploy.server.samples import has_one_picture
from project.deploy.server.schema import has_one_picture_answer

_MANY = 16  # numbers of an input that are not written one by one


def curl_example(predictor: Predictor, url: str, has_token: bool) -> str:
    """Return a request with curl.

    Args:
        predictor: the model.
        url: address of /predict.
        has_token: whether the server needs a token.
    """
    inputs = predictor.card.inputs
    words = [f"curl {shlex.quote(url)}"]
    if has_token:
        words.append('-H "Authorization: Bearer $SERVE_TOKEN"')
    if has_one_picture_answer(predictor):
        words += ["-H 'Accept: image/png'", "--output answer.png"]
    if has_one_picture(predictor.card):
        words += ["-H 'Content-Type: image/png'", f"--data-binary {shlex.quote(f'@{next(iter(inputs))}.png')}"]
    elif any(isinstance(raw, Picture) for raw in inputs.values()):
        for name, raw in inputs.items():
            value = f"@{name}.png" if isinstance(raw, Picture) else _numbers(predictor, name)[0] or f"<{name}.json"
            words.append(f"-F {shlex.quote(f'{name}={value}')}")
    else:
        values = {name: _numbers(predictor, name)[0] for name in inputs}
        pairs = ", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items())
        body = shlex.quote(f"{{{pairs}}}") if all(values.values()) else "@sample.json"
        words += ["-H 'Content-Type: application/json'", f"--data {body}"]
    return " \\\n  ".join(words)


def python_example(predictor: Predictor, url: str, has_token: bool) -> str:
    """Return a request with Python and its standard library alone; the arguments are those of `curl_example`."""
    inputs, wants_picture = predictor.card.inputs, has_one_picture_answer(predictor)
    is_file = has_one_picture(predictor.card)
    files = {
        name: f"Path({_quote(f'{name}.png')}).read_bytes()" for name, raw in inputs.items() if isinstance(raw, Picture)
    }
    used = {"base64": files and not is_file, "json": not is_file or not wants_picture, "os": has_token}
    lines = [f"import {name}" for name, is_used in used.items() if is_used]
    lines += ["from pathlib import Path"] if files or wants_picture else []
    lines += ["from urllib.request import Request, urlopen", ""]
    body = files[next(iter(inputs))] if is_file else "json.dumps(sample).encode()"
    if not is_file:
        lines.append("sample = {")
        for name in inputs:
            value = f"base64.b64encode({files[name]}).decode()" if name in files else _numbers(predictor, name)[1]
            lines.append(f"    {_quote(name)}: {value},")
        lines.append("}")
    lines.append(f'headers = {{"Content-Type": "{"image/png" if is_file else "application/json"}"}}')
    lines += ['headers["Accept"] = "image/png"'] if wants_picture else []
    lines += ['headers["Authorization"] = "Bearer " + os.environ["SERVE_TOKEN"]'] if has_token else []
    lines += [f"request = Request({_quote(url)}, {body}, headers)", "with urlopen(request) as response:"]
    lines.append(
        '    Path("answer.png").write_bytes(response.read())' if wants_picture else "    print(json.load(response))"
    )
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Return a text as Python writes it, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _numbers(predictor: Predictor, name: str) -> tuple[str, str]:
    """Return zeros for an input, as JSON and as Python; many numbers are no JSON."""
    lengths = [length.minimum for length in predictor.card.shapes[name]]
    zeros = np.zeros(lengths, predictor.card.inputs[name].dtype).tolist() if math.prod(lengths) <= _MANY else None
    if zeros is not None:
        return json.dumps(zeros), repr(zeros)
    code = repr(np.zeros((), predictor.card.inputs[name].dtype).item())
    for length in reversed(lengths):
        code = f"[{code}] * {length}"
    return "", code

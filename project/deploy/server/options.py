"""Options of the command line, checked, as settings of the server."""

import ipaddress
import os
import re
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from project.core.installation import COMMAND
from project.deploy.server.settings import Settings

_UNVERIFIED = "model.unverified.onnx"  # stored: what `export` calls a file whose predictions differ
_MIN_TOKEN = 8  # characters
_MAX_WORKERS = 256
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_NEW_TOKEN = "export SERVE_TOKEN=$(python -c 'import secrets; print(secrets.token_urlsafe())')"
OPTIONS = {
    "model": "exported model, model.onnx, or run directory (RUN/export/model.onnx)",
    "host": "address to listen on (default: 127.0.0.1); others than this machine's own need SERVE_TOKEN",
    "port": "port; 0 takes a free one (default: 8000)",
    "max_pixels": "largest width x height of a picture (default: what needs at most 1 GB)",
    "workers": "number of processes (default: 1)",
    "cors": "origin whose pages may send requests, such as https://example.org (default: none)",
}
USAGE = f"""usage: {COMMAND} serve --model RUN [--OPTION VALUE ...]

options:
{"".join(f"  --{name:<30} {text}{chr(10)}" for name, text in OPTIONS.items())}
environment:
  {"SERVE_TOKEN":<32} what requests must send as `Authorization: Bearer TOKEN`; without it, all may predict"""


class OptionError(Exception):
    """A mistake in the options: one to three lines, no traceback, exit code 2."""


def read_settings(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the settings of a command line.

    Args:
        argv: the options.
        environ: environment variables, of which SERVE_TOKEN is read.

    Raises:
        OptionError: an option is unknown or not valid, there is no such model, or a token is needed.
    """
    given = _split(argv)
    if "model" not in given:
        raise OptionError("serve needs --model, an exported model or a run directory such as experiments/NAME")
    values: dict[str, Any] = {name: _READERS[name](text) for name, text in given.items()}
    settings = Settings(**values, token=_read_token(environ))
    if settings.token is None and not ipaddress.ip_address(settings.host).is_loopback:
        raise OptionError(
            f"--host {given['host'] or settings.host} lets other machines predict, which needs a token:\n{_NEW_TOKEN}"
        )
    return settings


def _split(argv: Sequence[str]) -> dict[str, str]:
    """Return the values of the options, as texts."""
    given, words = {}, list(argv)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if not name.startswith("--") or name == "--":
            raise OptionError(f"'{name}' is not an option; options begin with -- and take one value each")
        name = name[2:]
        if name not in OPTIONS:
            raise OptionError(f"{_explain_unknown(name)}\nknown: {', '.join([*OPTIONS, 'help'])}")
        if not equals:
            if not words or words[0].startswith("--"):
                raise OptionError(f"--{name} needs a value")
            value = words.pop(0)
        given[name] = value
    return given


def _explain_unknown(name: str) -> str:
    if name == "token":
        return "serve has no option --token, which other users of the machine would see: set SERVE_TOKEN"
    if name == "ckpt_path":
        return "serve has no option --ckpt_path: it takes an exported model, as --model"
    if name == "config" or "." in name:
        return f"serve has no option --{name}: model.onnx contains its configuration, which serving cannot change"
    near = get_close_matches(name.lower().replace("-", "_"), OPTIONS, n=1)
    return f"serve has no option --{name}" + (f"; did you mean '{near[0]}'?" if near else "")


def _read_model(text: str) -> Path:
    """Return the file of an exported model that a file or run directory means."""
    try:
        path = _find_model(Path(os.path.expandvars(text)).expanduser())
        with path.open("rb"):
            return path
    except FileNotFoundError as error:
        raise OptionError(f"--model {text} does not exist") from error
    except (OSError, RuntimeError, ValueError) as error:  # an unknown ~user; a null character
        raise OptionError(f"--model {text!r} cannot be read: {getattr(error, 'strerror', error)}") from error


def _find_model(path: Path) -> Path:
    if path.is_dir():
        names = ("export/model.onnx", "model.onnx", f"export/{_UNVERIFIED}", _UNVERIFIED)
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise OptionError(f"{path} has no export/model.onnx; export it first: {_export_command(path)}")
        path = found
    if path.name == _UNVERIFIED:
        report = path.with_name("export_report.unverified.json")
        raise OptionError(f"{path} does not predict what its checkpoint predicts; see {report}")
    suffix = path.suffix.lower()
    if suffix == ".ckpt":
        raise OptionError(
            f"{path} is a checkpoint; export it first: {_export_command(path)}\nthen serve its model.onnx"
        )
    if suffix == ".pt2":
        raise OptionError(f"{path} needs torch; serve takes model.onnx, which `export` writes with --formats onnx")
    return path


def _export_command(path: Path) -> str:
    return f"{COMMAND} export --ckpt_path {shlex.quote(str(path))}"


def _read_host(text: str) -> str:
    """Return the address of a host name: a name could mean another address when it is looked up again."""
    if re.fullmatch(r"[^:]*:\d+", text):
        raise OptionError(f"--host is '{text}'; give the port as --port")
    try:
        # IPv4 first: what a name means in both, such as localhost, is found by all clients.
        found = socket.getaddrinfo(text or "0.0.0.0", None, type=socket.SOCK_STREAM)
        return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])
    except (OSError, ValueError) as error:  # ValueError: a name that no host can have
        reason = getattr(error, "strerror", None) or "no host has such a name"
        raise OptionError(f"--host is '{text}', which has no address: {reason}") from error


def _number(name: str, minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a function that reads a whole number within bounds."""
    bounds = f"from {minimum} to {maximum}" if maximum is not None else f">= {minimum}"

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = minimum - 1
        if number < minimum or (maximum is not None and number > maximum):
            raise OptionError(f"--{name} is '{text[:40]}'; it must be a whole number {bounds}")
        return number

    return read


def _read_workers(text: str) -> int:
    number = _number("workers", 1, _MAX_WORKERS)(text)
    if number > 1 and not hasattr(os, "fork"):
        raise OptionError("this system cannot fork processes; leave out --workers")
    return number


def _read_cors(text: str) -> str:
    """Return an origin as browsers send it."""
    match = re.fullmatch(r"(https?)://([\w.-]+|\[[\da-f:.]+\])(?::(\d{1,5}))?", text.lower(), re.ASCII)
    if match is None:
        raise OptionError(f"--cors is '{text}'; it must be one origin, without a path, such as https://example.org")
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != _DEFAULT_PORTS[scheme] else "")


def _read_token(environ: Mapping[str, str]) -> str | None:
    token = environ.get("SERVE_TOKEN")
    if token is None:
        return None
    if not re.fullmatch(r"[!-~]+", token):
        kind = "has spaces, or characters that are not ASCII" if token else "is empty"
        raise OptionError(f"SERVE_TOKEN {kind}; unset it, or make a token:\n{_NEW_TOKEN}")
    if len(token) < _MIN_TOKEN:
        raise OptionError(f"SERVE_TOKEN has fewer than {_MIN_TOKEN} characters; make one:\n{_NEW_TOKEN}")
    return token


_READERS: dict[str, Callable[[str], Any]] = {
    "model": _read_model,
    "host": _read_host,
    "port": _number("port", 0, 65535),
    "max_pixels": _number("max_pixels", 1),
    "workers": _read_workers,
    "cors": _read_cors,
}

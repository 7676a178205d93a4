"""A mistake in the options, or a file that cannot be served, gets one to three lines and exit code 2."""

import errno
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from project.deploy.server import main as main_module
from project.deploy.server.main import main
from project.deploy.server.options import OPTIONS

NEW_TOKEN = "\nexport SERVE_TOKEN=$(python -c 'import secrets; print(secrets.token_urlsafe())')"
KNOWN = "\nknown: model, host, port, max_pixels, workers, cors, help"
MISTAKES = [
    ("", "serve needs --model, an exported model or a run directory such as experiments/NAME"),
    ("TMP/model.onnx", "'TMP/model.onnx' is not an option; options begin with -- and take one value each"),
    ("--model", "--model needs a value"),
    ("--model --port 1", "--model needs a value"),
    ("--modle TMP", f"serve has no option --modle; did you mean 'model'?{KNOWN}"),
    ("--max-pixels 9", f"serve has no option --max-pixels; did you mean 'max_pixels'?{KNOWN}"),
    ("--quiet", f"serve has no option --quiet{KNOWN}"),
    (
        "--config a.yaml",
        "serve has no option --config: model.onnx contains its configuration, which serving cannot change" + KNOWN,
    ),
    (
        "--model.net.width 8",
        f"serve has no option --model.net.width: model.onnx contains its configuration, which serving cannot change"
        f"{KNOWN}",
    ),
    ("--ckpt_path TMP", f"serve has no option --ckpt_path: it takes an exported model, as --model{KNOWN}"),
    (
        "--token secret99",
        f"serve has no option --token, which other users of the machine would see: set SERVE_TOKEN{KNOWN}",
    ),
    ("MODEL --port 65536", "--port is '65536'; it must be a whole number from 0 to 65535"),
    ("MODEL --port -1", "--port is '-1'; it must be a whole number from 0 to 65535"),
    ("MODEL --port http", "--port is 'http'; it must be a whole number from 0 to 65535"),
    ("MODEL --max_pixels 0", "--max_pixels is '0'; it must be a whole number >= 1"),
    ("MODEL --max_pixels 1e6", "--max_pixels is '1e6'; it must be a whole number >= 1"),
    ("MODEL --workers 0", "--workers is '0'; it must be a whole number from 1 to 256"),
    ("MODEL --cors *", "--cors is '*'; it must be one origin, without a path, such as https://example.org"),
    (
        "MODEL --cors https://a.org/",
        "--cors is 'https://a.org/'; it must be one origin, without a path, such as https://example.org",
    ),
    ("MODEL --cors a.org", "--cors is 'a.org'; it must be one origin, without a path, such as https://example.org"),
    ("--model TMP/none.onnx", "--model TMP/none.onnx does not exist"),
    ("--model TMP/new", "TMP/new has no export/model.onnx; export it first: python cli.py export --ckpt_path TMP/new"),
    (
        "--model TMP/new/last.ckpt",
        "TMP/new/last.ckpt is a checkpoint; export it first: python cli.py export --ckpt_path TMP/new/last.ckpt\n"
        "then serve its model.onnx",
    ),
    (
        "--model TMP/model.pt2",
        "TMP/model.pt2 needs torch; serve takes model.onnx, which `export` writes with --formats onnx",
    ),
    (
        "--model TMP/wrong",
        "TMP/wrong/export/model.unverified.onnx does not predict what its checkpoint predicts; "
        "see TMP/wrong/export/export_report.unverified.json",
    ),
    ("MODEL --host 0.0.0.0", f"--host 0.0.0.0 lets other machines predict, which needs a token:{NEW_TOKEN}"),
    ("MODEL --host ::", f"--host :: lets other machines predict, which needs a token:{NEW_TOKEN}"),
    ("MODEL --host=", f"--host 0.0.0.0 lets other machines predict, which needs a token:{NEW_TOKEN}"),
    ("MODEL --host localhost:80", "--host is 'localhost:80'; give the port as --port"),
    ("MODEL --host a..b", "--host is 'a..b', which has no address: no host has such a name"),
    ("MODEL --port USED", "port USED of 127.0.0.1 is in use; give another --port, or 0 for a free one"),
    ("MODEL --host 127.0.0.1 --port 0", "TMP/model.onnx has no model card: `cli.py export` did not write it"),
]
TOKENS = [
    ("", f"SERVE_TOKEN is empty; unset it, or make a token:{NEW_TOKEN}"),
    ("two words", f"SERVE_TOKEN has spaces, or characters that are not ASCII; unset it, or make a token:{NEW_TOKEN}"),
    ("schlüssel", f"SERVE_TOKEN has spaces, or characters that are not ASCII; unset it, or make a token:{NEW_TOKEN}"),
    ("1234567", f"SERVE_TOKEN has fewer than 8 characters; make one:{NEW_TOKEN}"),
]


@pytest.fixture(autouse=True)
def _keep_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Return a directory of an export without a card, a run without an export, and files that are no exports."""
    from tests.deploy.onnx_files import write_model

    write_model(tmp_path / "model.onnx", card=None)
    for name in ("new/last.ckpt", "model.pt2", "wrong/export/model.unverified.onnx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(("argv", "message"), MISTAKES, ids=[argv for argv, _ in MISTAKES])
def test_mistake_gets_its_message(
    argv: str, message: str, served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SERVE_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        argv = argv.replace("MODEL", f"--model {served / 'model.onnx'}")
        words = [word.replace("TMP", str(served)).replace("USED", port) for word in argv.split()]
        assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: " + message.replace("TMP", str(served)).replace("USED", port) + "\n")
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize(("token", "message"), TOKENS)
def test_useless_token_is_refused(
    token: str, message: str, served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its owner believes that the server is protected."""
    monkeypatch.setenv("SERVE_TOKEN", token)
    assert main(["--model", str(served / "model.onnx")]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_variables_of_a_path_are_expanded(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the paths of the other stages."""
    monkeypatch.setenv("SERVED", str(served))
    assert main(["--model", "$SERVED/new"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {served}/new has no export/model.onnx")


def test_name_of_another_machine_needs_a_token(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a name means decides, also if it is called localhost."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: found)
    monkeypatch.delenv("SERVE_TOKEN", raising=False)
    assert main(["--model", str(served / "model.onnx"), "--host", "localhost"]) == 2
    assert capsys.readouterr().err.startswith("error: --host localhost lets other machines predict")


def test_address_of_another_machine_cannot_be_used(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVE_TOKEN", "correct-horse")
    assert main(["--model", str(served / "model.onnx"), "--host", "192.0.2.1", "--port", "0"]) == 2
    reason = os.strerror(errno.EADDRNOTAVAIL)
    assert capsys.readouterr().err == f"error: --host 192.0.2.1 cannot be listened on: {reason}\n"


def test_missing_packages_are_named(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = ("fastapi", "python_multipart")
    monkeypatch.setattr(main_module, "find_spec", lambda name: None if name in missing else name)
    assert main(["--model", str(served / "model.onnx")]) == 2
    expected = "error: serve needs fastapi, python-multipart: pip install -c constraints.txt fastapi python-multipart\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("argv", [["--help"], ["--port", "no", "-h"]])
def test_help_lists_the_options(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: python cli.py serve ")
    assert all(f"\n  --{option} " in out for option in OPTIONS)
    assert "SERVE_TOKEN" in out

"""A server that a page starts, and the requests that follow."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.deploy.server.server_process import wait_until_ready
from tests.template.conftest import run

PORT = "8000"  # the port of the pages, which other tests may use


@contextmanager
def serving(folder: Path, line: str, variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a server as a line of a page does, but on a free port; yield the port, and stop the server with SIGTERM.

    Args:
        folder: directory of the command.
        line: command, such as `python cli.py serve --model experiments/digits`.
        variables: environment variables.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    python, *words = shlex.split(line)
    assert python == "python"
    environment = os.environ | {"PYTHONPATH": str(folder)} | dict(variables or {})
    process = subprocess.Popen([sys.executable, *words, "--port", port], cwd=folder, env=environment)
    try:
        wait_until_ready(process, int(port))
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def follow(folder: Path, blocks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Run the commands and snippets of a page, of which some start servers; return what each of the others prints.

    A server runs until the next one is started. Without curl, its commands are left out.

    Args:
        folder: directory of the commands.
        blocks: kind and text of each block; only those of bash and python are run.
    """
    printed, variables, port = dict[str, str](), dict[str, str](), PORT
    with ExitStack() as running:
        for kind, text in blocks:
            for command in text.splitlines() if kind == "bash" else [text] if kind == "python" else []:
                local = command.replace(f":{PORT}", f":{port}")
                if " serve " in command:
                    running.close()
                    port = running.enter_context(serving(folder, command, variables))
                elif command.startswith("export "):
                    name = command.removeprefix("export ").partition("=")[0]
                    variables[name] = run(folder, "bash", "-euc", f'{command}; printf %s "${name}"')
                elif kind == "python":
                    printed[command] = run(folder, sys.executable, "-c", local, variables=variables)
                elif not command.startswith("curl ") or shutil.which("curl"):
                    printed[command] = run(folder, "bash", "-euc", local, variables=variables)
    return printed

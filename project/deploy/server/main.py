"""The command line of the server, from options to an exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from project.deploy.inputs import InputError
from project.deploy.server.running import serve
from project.deploy.server.settings import Settings


def main(argv: Sequence[str]) -> int:
    """Serve a model.

    Args:
        argv: the options, such as `["--model", "experiments/digits/export/model.onnx"]`.

    Returns:
        0 after SIGTERM or SIGINT, 2 for a mistake in the options or the file, 1 for an exception.
    """
    parser = argparse.ArgumentParser("serve")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max_pixels", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cors")
    given = parser.parse_args(argv)
    settings = Settings(**vars(given), token=os.environ.get("SERVE_TOKEN"))
    try:
        return serve(settings)
    except InputError as error:
        print("error:", error, file=sys.stderr)
        return 2

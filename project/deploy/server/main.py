"""The command line of the server, from options to an exit code."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from project.deploy.server.options import USAGE, OptionError, read_settings

_PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
    "PIL": "pillow",
}


def main(argv: Sequence[str]) -> int:
    """Serve a model.

    Args:
        argv: the options, such as `["--model", "experiments/digits"]`.

    Returns:
        0 after SIGTERM or SIGINT, 2 for a mistake in the options or the file, 1 if a process of several did not start.
    """
    if {"-h", "--help"} & {*argv}:
        print(USAGE)
        return 0
    try:
        settings = read_settings(argv, os.environ)
        if missing := [package for module, package in _PACKAGES.items() if find_spec(module) is None]:
            raise OptionError(f"serve needs {', '.join(missing)}: pip install -c constraints.txt {' '.join(missing)}")
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy computes nothing large: more threads only wait
        from project.deploy.server.running import serve  # imports the packages

        return serve(settings)
    except OptionError as error:
        print("error:", error, file=sys.stderr)
        return 2

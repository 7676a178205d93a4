"""`python -m ops build` builds the operations ahead of time, `python -m ops info` says what is built and why not."""

import argparse
import shutil
import sys
from pathlib import Path

from . import _build


def info() -> str:
    """What is built, for what and where, or why not."""
    lines = [f"mode       {_build.mode()} (variable OPS: {', '.join(_build.MODES)})"]
    try:
        lines.append(f"compiler   {_build.compiler()}")
    except RuntimeError as error:
        lines.append(f"compiler   none: {error}")
    cuda = _build.has_cuda()
    try:
        file = _build.file_of(cuda)
    except RuntimeError as error:
        return "\n".join([*lines, f"built      no: {error}; torch's own operations take over"])
    lines.append(f"devices    {'CPU, CUDA' if cuda else 'CPU (no GPU that torch can use, or no nvcc)'}")
    state = "yes" if file.exists() else "no, but at the first use, or by `bash scripts/install_ops.sh`"
    return "\n".join([*lines, f"built      {state}", f"file       {file}"])


def main(argv: list[str]) -> int:
    """Runs one command, and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    parser.add_argument("command", choices=("build", "info"))
    parser.add_argument("--cuda", action="store_true", help="fail where it cannot be built for CUDA")
    parser.add_argument("--out", type=Path, help="a folder that gets a copy of what was built")
    arguments = parser.parse_args(argv)
    if arguments.command == "build":
        try:
            file, _ = _build.build(arguments.cuda or _build.has_cuda())
        except (RuntimeError, OSError) as error:
            print("error:", error, file=sys.stderr)
            return 1
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, arguments.out / f"{_build.NAMESPACE}.so")
    print(info())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
    lines.append(f"CPU        {_state(cuda=False)}")
    lines.append(
        f"CUDA       {_state(cuda=True) if _build.has_cuda() else 'no: no GPU that torch can use, or no nvcc'}"
    )
    return "\n".join(lines)


def _state(cuda: bool) -> str:
    try:
        file = _build.file_of(cuda)
    except RuntimeError as error:
        return f"no: {error}; torch's own operations take over"
    if file.exists():
        return f"built: {file}"
    return "not yet built: at the first use, or by `bash scripts/install_ops.sh`"


def publish(file: Path, target: Path) -> None:
    """Copies a file, which replaces one that a process may have loaded."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, unfinished := target.with_suffix(".unfinished"))
    unfinished.replace(target)


def main(argv: list[str]) -> int:
    """Runs one command, and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    parser.add_argument("command", choices=("build", "info"))
    parser.add_argument("--cuda", action="store_true", help="fail where it cannot be built for CUDA")
    parser.add_argument("--out", type=Path, help="a folder that gets a copy of what was built")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "build":
            for cuda in (False, True) if arguments.cuda or _build.has_cuda() else (False,):
                file, _ = _build.build(cuda)
                if arguments.out is not None:
                    publish(file, arguments.out / f"{_build.NAMESPACE}{'_cuda' if cuda else ''}.so")
        print(info())
    except (RuntimeError, OSError, ValueError) as error:
        print("error:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

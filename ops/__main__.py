"""Build the operations ahead of time (`python -m ops build`), or show what is built (`python -m ops info`)."""

import argparse
import shutil
import sys
from pathlib import Path

from . import _build


def info() -> str:
    """Describe for the CPU and for CUDA where the built file is, or why there is none."""
    lines = [f"mode       {_build.mode()} (environment variable OPS: {', '.join(_build.MODES)})"]
    try:
        lines.append(f"compiler   {_build.compiler()}")
    except RuntimeError as error:
        lines.append(f"compiler   none: {error}")
    lines.append(f"CPU        {_state(cuda=False)}")
    lines.append(
        f"CUDA       {_state(cuda=True) if _build.has_cuda() else 'unavailable: no GPU that torch can use, or no nvcc'}"
    )
    return "\n".join(lines)


def _state(cuda: bool) -> str:
    try:
        file = _build.library_path(cuda)
    except RuntimeError as error:
        return f"unavailable: {error}; torch operations are used instead"
    if file.exists():
        return f"built: {file}"
    return "not built yet: built at the first call, or by `bash scripts/install_ops.sh`"


def copy_atomically(file: Path, target: Path) -> None:
    """Copy a file by rename: a process may have loaded the previous target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, unfinished := target.with_suffix(".unfinished"))
    unfinished.replace(target)


def main(argv: list[str]) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m ops", description=__doc__)
    parser.add_argument("command", choices=("build", "info"))
    parser.add_argument("--cuda", action="store_true", help="fail if the CUDA kernels cannot be built")
    parser.add_argument("--out", type=Path, help="directory to which the built files are copied")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "build":
            for cuda in (False, True) if arguments.cuda or _build.has_cuda() else (False,):
                file, _ = _build.build(cuda)
                if arguments.out is not None:
                    copy_atomically(file, arguments.out / f"{_build.NAMESPACE}{'_cuda' if cuda else ''}.so")
        print(info())
    except (RuntimeError, OSError, ValueError) as error:
        print("error:", error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

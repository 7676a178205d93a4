"""The command line as a process: cli.py, `python -m` with the name of the package, and the console command."""

import gc
import os
import signal
import sys
from collections.abc import Sequence


def main() -> int:
    """Run the command that `sys.argv` names, in a process that does nothing else, and return its exit code.

    Nothing here imports torch before the signals are handled.
    """
    from project.commands import WITHOUT_TORCH
    from project.commands import main as run_command

    words = sys.argv[1:]
    if words and words[0] in WITHOUT_TORCH:
        # Ctrl-C during the start prints no traceback, and the first process of a container ends at SIGTERM.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        return run_command() if _is_importable(words) else 2
    from project.core.distributed.signals import Interruption, ignore_termination
    from project.core.garbage import exclude_objects

    interruption = Interruption(_effect_of_signals(words))
    interruption.install(with_sigint=False)  # a job may be preempted while torch is imported, which takes seconds
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the import prints no traceback
    gc.disable()  # `run_command` enables it when everything is built
    if not _is_importable(words):
        return 2
    exclude_objects()  # what was imported, also from the collection at the end of Python
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run_command(interruption=interruption)
    ignore_termination()  # srun must see the same exit code of all tasks
    return code


def _is_importable(words: Sequence[str]) -> bool:
    """Import the module of a command; return False, and say so, if a package that it needs is not installed."""
    from project.commands import import_command
    from project.core.installation import describe_missing

    try:
        import_command(words)
    except ModuleNotFoundError as error:
        if (text := describe_missing(error)) is None:
            raise
        print("error:", text, file=sys.stderr)
        return False
    return True


def _effect_of_signals(words: Sequence[str]) -> str:
    """Return what a signal during the import does to a command."""
    from project.core.distributed.signals import AFTER_STEP

    if words[:1] == ["sweep"]:
        return "stopping before the next run"
    names = [word.partition("=")[0] for word in words]
    shows = any(name in ("-h", "--help", "--print_config") or name.endswith(".help") for name in names)
    return AFTER_STEP if words[:1] == ["fit"] and not shows else "stopping when the start is over"


if __name__ == "__main__":
    sys.exit(main())

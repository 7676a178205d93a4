"""The command line as a process: cli.py, `python -m` with the name of the package, and the console command."""

import gc
import os
import signal
import sys


def main() -> int:
    """Run the command that `sys.argv` names, in a process that does nothing else, and return its exit code.

    Nothing here imports torch before the signals are handled.
    """
    from project.commands import WITHOUT_TORCH, import_command
    from project.commands import main as run_command

    if sys.argv[1:2] and sys.argv[1] in WITHOUT_TORCH:
        # Ctrl-C during the start prints no traceback, and the first process of a container ends at SIGTERM.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        return run_command()
    from project.core.distributed.signals import Interruption, ignore_termination
    from project.core.garbage import exclude_objects

    interruption = Interruption()
    interruption.install(with_sigint=False)  # a job may be preempted while torch is imported, which takes seconds
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the import prints no traceback
    gc.disable()  # `run_command` enables it when everything is built
    import_command(sys.argv[1:])
    exclude_objects()  # what was imported, also from the collection at the end of Python
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = run_command(interruption=interruption)
    ignore_termination()  # srun must see the same exit code of all tasks
    return code


if __name__ == "__main__":
    sys.exit(main())

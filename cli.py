"""Command line: train, test, predict, export, serve, study. See `python cli.py --help`."""

import gc
import os
import signal
import sys

if __name__ == "__main__":
    from project.commands import WITHOUT_TORCH, import_command, main

    if sys.argv[1:2] and sys.argv[1] in WITHOUT_TORCH:
        # Ctrl-C during the start prints no traceback, and the first process of a container ends at SIGTERM.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os._exit(128 + number))
        sys.exit(main())
    from project.core.distributed.signals import Interruption, ignore_termination
    from project.core.garbage import exclude_objects

    interruption = Interruption()
    interruption.install(with_sigint=False)  # a job may be preempted while torch is imported, which takes seconds
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the import prints no traceback
    gc.disable()  # `main` enables it when everything is built
    import_command(sys.argv[1:])
    exclude_objects()  # what was imported, also from the collection at the end of Python
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main(interruption=interruption)
    ignore_termination()  # srun must see the same exit code of all tasks
    sys.exit(code)

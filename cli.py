"""Trains, validates, tests and predicts: `python cli.py --help`."""

import signal
import sys

from project.core.interruption import TERMINATIONS, Interruption

if __name__ == "__main__":
    interruption = Interruption()
    interruption.listen(interactive=False)  # torch takes seconds to import: a job that is preempted then is not lost
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # and a Ctrl-C leaves no traceback
    from project.core.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main(interruption=interruption)
    for number in TERMINATIONS:
        signal.signal(number, signal.SIG_IGN)  # srun ends all tasks when the first one ends, and must see the same code
    sys.exit(code)

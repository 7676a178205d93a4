"""Trains, validates, tests and predicts: `python cli.py --help`."""

import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of a Ctrl-C while torch is imported
    from project.core.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())

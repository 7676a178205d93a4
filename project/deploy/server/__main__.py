"""The server without the rest of the project: `python -m project.deploy.server`."""

import os
import signal
import sys

if __name__ == "__main__":
    # Ctrl-C during the start prints no traceback, and the first process of a container ends at SIGTERM.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    from project.deploy.server.main import main

    sys.exit(main(sys.argv[1:]))

"""The server without the rest of the project: `python -m project.deploy.server`."""

import signal
import sys

from project.deploy.server.main import main

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the start prints no traceback
    sys.exit(main(sys.argv[1:]))

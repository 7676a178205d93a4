"""The server without the command line of the project: `python -m project.deploy.server --model model.onnx`."""

import sys

from project.deploy.server.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

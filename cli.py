"""Trains, validates, tests and predicts: `python cli.py --help`."""

import sys

from project.core.main import main

if __name__ == "__main__":
    sys.exit(main())

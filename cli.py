"""Command line: train, test, predict, export, serve, study. See `python cli.py --help`."""

import sys

if __name__ == "__main__":
    from project.__main__ import main

    sys.exit(main())

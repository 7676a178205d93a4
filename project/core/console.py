"""The standard output, without torch."""

import os
import sys


def print_text(text: str) -> None:
    """Write a text to the standard output; its reader may close it early, as `| head -1` does."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python reports it again at its end

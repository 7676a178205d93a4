"""Start of new projects from this template, and update of projects to its later versions."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (older versions of Python get this message)
    sys.exit(f"error: Python 3.11 or newer is needed; this is {sys.version.split()[0]}")

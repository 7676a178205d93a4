"""Starts projects from this template, and brings its later changes into them."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (whoever calls an older one is told)
    sys.exit(f"error: Python 3.11 or newer is needed; this is {sys.version.split()[0]}")

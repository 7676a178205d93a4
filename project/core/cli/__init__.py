"""The command line: options, help, the stages, progress on the console, and loading in Python.

Imports all other packages. Read `main.py` first: it goes from the options to an exit code; `stages.py` builds and runs.
"""

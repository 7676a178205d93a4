"""The command line: options, help, the stages, progress on the console, and loading in Python.

Imports all other packages. Read `main.py` first: it goes from the options to an exit code; `stage_building.py` chooses
checkpoint and configuration of a stage, and `stages.py` builds and runs it. `ensemble.py` averages several runs.
"""

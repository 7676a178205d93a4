"""Studies: many runs of one yaml, runs as a table or a page, and finders of settings.

Imports `errors`, `files` and `config`, without torch; only the packages `sweep` and `find` in it train. Read `runs.py`
first: it reads what a run directory says of itself. `events.py` reads its curves, `options.py` the command line.
"""

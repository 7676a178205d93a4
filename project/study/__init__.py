"""Studies: many runs of one yaml, runs as a table or a page, and finders of settings.

Imports `config`, `digest_file`, `errors` and `installation`. Needs no torch: only the packages `sweep` and `find` in it
train. Read `runs.py` first: it reads what a run directory says of itself, by `saved_config.py` (config.yaml) and
`events.py` (the curves, in `records.py`). `grouping.py` makes groups of runs with means (`statistics.py`) and
`columns.py` says in which settings they differ: the table and the report share both. `digests.py` reads the digests of
steps, and `options.py` the command line.
"""

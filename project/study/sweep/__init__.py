"""The command `sweep`: a run for each combination of settings, seeds and folds, by any number of workers.

Imports `cli`, `config`, `data`, `distributed`, `errors`, `file_names`, `files`, `log`, `run`, `study` and `writable`.
Read `worker.py` first: a worker claims a run that no other worker holds, trains it in a forked process, and claims the
next. `definition.py` reads the yaml of a sweep, `plan.py` says which runs a trial has, `trials.py` where trials come
from, `directory.py` what is kept in ROOT/SWEEP, and `process.py` how a stage runs in a process of its own. `checks.py`
finds mistakes before the first run, `frozen.py` refuses a sweep that has changed, `folds.py` says which settings select
a fold, and `out_of_fold.py` joins the results of all folds.
"""

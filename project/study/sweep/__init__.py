"""The command `sweep`: a run for each combination of settings, seeds and folds, by any number of workers.

Imports `cli`, `config`, `distributed`, `errors`, `files`, `log`, `run` and `study`. Read `worker.py` first: a worker
claims a run that no other worker holds, trains it in a forked process, and claims the next. `definition.py` reads the
yaml of a sweep, `plan.py` says which runs a trial has, `trials.py` where trials come from, `directory.py` what is kept
in ROOT/SWEEP, and `process.py` how a stage runs in a process of its own.
"""

"""The command `sweep`: a run for each combination of settings, seeds and folds, by any number of workers.

Imports `cli`, `config`, `console`, `data`, `distributed`, `errors`, `file_names`, `files`, `garbage`, `installation`,
`log`, `registry`, `run`, `study` and `writable`. Read `worker.py` first: a worker claims a run that no other worker
holds, trains it in a forked process, and claims the next. `command.py` goes from the options to an exit code.
`definition.py` reads the yaml of a sweep, `plan.py` says which runs a trial has, `trials.py` where trials come from,
`directory.py` what is kept in ROOT/SWEEP, `digest.py` the code and data that runs were computed from, `process.py` how
a stage runs in a process of its own (`separate.py` another function) and `ranks.py` in several, `warm_up.py` what is
done once before, and `jobs.py` and `processors.py` how several workers share a machine. `checks.py` finds mistakes
before the first run, `dry_run.py` shows the runs, `frozen.py` refuses a sweep that has changed, `folds.py` says which
settings select a fold, and `out_of_fold.py` joins their results. Only `optuna_trials.py`, which draws values, the file
that it keeps them in (`journal.py`), and `pruners.py`, which decides which runs end early, import optuna.
"""

"""Training steps of a run again, without touching its directory: the command `replay`, and the engine of others.

Imports `cli`, `config`, `console`, `data`, `distributed`, `errors`, `evaluation`, `files`, `installation`, `log`,
`model`, `run`, `study`, `study.report`, `tensorboard`, `training`, `training.lightning_internals` and `writable`. Read
`replaying.py` first: `replay_steps` trains from a state of the run to a later step, in stretches (`stretches.py`) of
one configuration (`configuration.py`) each, with `training.py` in place of the stage `fit`. `states.py` takes the place
of checkpoints, `needs.py` says what is left out, `guard.py` protects the run directory, and `machine.py` compares the
machine with that of the run.

`watching.py` tells callbacks which batches belong to which steps, `logged.py` compares what was logged, `notebook.py`
gives one to notebooks, and `debugger.py` stops in one. `command.py` is the command: `observing.py` watches the steps,
`files.py` writes what it found, and the package `page` shows it; `extent.py` knows which steps a run has, and
`progress.py` says how far a long replay is.
"""

"""Training steps of a run again, without touching its directory: the command `replay`, and the engine of others.

Imports `cli`, `config`, `console`, `data`, `distributed`, `errors`, `evaluation`, `files`, `log`, `model`, `run`,
`study`, `study.report`, `tensorboard`, `training`, `training.lightning_internals` and `writable`. Read `replaying.py`
first: `replay_steps` trains from a state of the run to a later step, in stretches (`stretches.py`) of one configuration
each, with `training.py` in place of the stage `fit`. `states.py` takes the place of checkpoints, `logged.py` compares
what was logged, and the package `page` shows it. `command.py` is the command: `observing.py` watches the steps, and
`files.py` writes what it found.
"""

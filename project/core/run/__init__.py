"""A run: its directory, checkpoints, resume and finetune, and what it records of itself.

Imports `config`, `csv_logger`, `data`, `deploy`, `digest_file`, `distributed`, `errors`, `file_names`, `files`,
`installation`, `log`, `model`, `tensorboard`, `trackers`, `training` and `training.lightning_internals`. Read `run.py`
first: a `Run` holds the directory, configuration, checkpoint policy, writer and interruption of one training.
`checkpoint_header.py` is the format of checkpoints, `checkpoint_files.py` finds and loads them, `checkpoint_writer.py`
writes them, `checkpoint_policy.py` says when. `weights.py` finds which tensor of a file is which of a module.
`optimizer_state.py` prepares the optimizers of a resumed run, and `loggers.py` its loggers. `monitor.py` checks the
names of monitored values, `pruning.py` ends runs that are not promising, `summary.py` records how a run ended, and
`recorded_inputs.py` what the net takes. `environment.py`, `git.py`, `numerics.py` and `data_files.py` record what the
numbers may depend on besides the configuration, and `lineage.py` which steps were computed with which configuration.
"""

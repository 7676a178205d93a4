"""The model: wiring of tensors by name, metrics over datasets, optimization, schedulers, and the LightningModules.

Imports `config`, `data`, `distributed`, `errors`, `functions`, `registry`, `trackers` and
`training.lightning_internals`. Read `wiring.py` first, then `module.py`; `fitting.py` fits components to the training
set before the first step, and `ensemble.py` averages outputs.
"""

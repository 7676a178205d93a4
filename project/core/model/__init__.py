"""The model: wiring of tensors by name, metrics over datasets, optimization, schedulers, and the LightningModules.

Imports `config`, `data`, `errors`, `tensorboard` and `training.lightning_internals`. Read `wiring.py` first, then
`module.py`.
"""

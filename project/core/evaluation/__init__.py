"""Evaluation: result files, samples.csv, pictures of the visual, and evaluation during training.

Imports `config`, `data`, `model`, `errors`, `files`, `tensorboard` and `training.lightning_internals`. Read
`results.py` first.
"""

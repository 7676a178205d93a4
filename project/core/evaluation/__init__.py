"""Evaluation: result files, samples.csv, pictures of the visual, and evaluation during training.

Imports `config`, `console`, `data`, `model`, `errors`, `file_names`, `files`, `log`, `trackers` and
`training.lightning_internals`. Read `results.py` first; `extremes.py` draws the worst and the best samples, and
`confusion.py` counts confusions of classes.
"""

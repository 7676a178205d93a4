"""Data: seeds, the order of samples, loading of batches, streams, and the data module.

Imports `config`, `deploy`, `distributed`, `errors`, `file_names`, `registry` and `training.lightning_internals`.
Datasets get the epoch by `EpochSamples` of `datasets/base.py`. Read `seeding.py` first, then `sampling.py` and
`loading.py`.
"""

"""Data: seeds, the order of samples, loading of batches, streams, and the data module.

Imports `config`, `distributed`, `errors`, `file_names` and `registry`. Read `seeding.py` first, then `sampling.py` and
`loading.py`.
"""

"""The command `golden`: the first losses of a configuration, by which changes of its numbers are noticed.

Imports `cli`, `config`, `console`, `distributed`, `errors`, `file_names`, `files`, `installation`, `run`, `study` and
`training.lightning_internals`. Read `curve.py` first: it compares losses with those in golden/NAME.json, which
`training.py` computes; tests/golden does the same for each file.
"""

"""The command `find`: a learning rate, or the largest batch size.

Imports `cli`, `config`, `console`, `data`, `distributed`, `errors`, `file_names`, `files`, `log`, `model`, `run`,
`training.lightning_internals` and `writable`. Read `command.py` first. `short_training.py` builds a training that
writes no files; `learning_rate.py` watches its loss while the rate grows, `picture.py` draws that, and `batch_size.py`
tries sizes, each in a process of its own that may not use more than the free memory (`memory.py`).
"""

"""The command `bisect`: the first step and tensor at which two runs differ.

Imports `cli`, `config`, `console`, `data`, `digest_file`, `distributed`, `errors`, `files`, `installation`, `run`,
`study`, `study.replay` and `training`. Read `bisecting.py` first. It compares what the runs recorded (`recorded.py`,
`state.py`), and has both trained again (`replays.py`) where that does not suffice: each in a process (`process.py`,
`worker.py`), with its own code (`checkout.py`). `explaining.py` says what a difference means, `surroundings.py` in what
else the runs differ, and `rounding.py` compares runs on different numbers of processes.
"""

"""The command `verify`: parts of a run are trained again, and the results compared with what the run recorded.

Imports `cli`, `console`, `distributed`, `errors`, `files`, `installation`, `log`, `run`, `study` and `study.replay`.
Read `verifying.py` first: it trains segments again that `known_states.py` finds between the recorded states.
`comparing.py` compares states and logged values, `chain.py` the chain of digests with itself, and `verdict.py` says
what that proves.
"""

"""Training: seeding of steps, skipped hooks, callbacks for debugging, and Lightning's loops made exact and fast.

Imports `config`, `data`, `digest_file`, `errors`, `installation`, `model` and `training.lightning_internals`. Read
`step_seeding.py` first. `lightning_internals/` is the only package that touches private names of other packages; it
imports nothing of the engine but `errors.py`, so every other package may import it. `digests/` writes digests of the
steps.
"""

"""An exported model over HTTP: `python cli.py serve`. Nothing here imports torch.

Imports `deploy`, `deploy.demo` and `installation`. Read `main.py` first, from the options to an exit code, then
`app.py`, which answers requests.
"""

"""The commands `schema` and `completion`: help in an editor and in the shell.

Imports `cli`, `config`, `console`, `deploy.server`, `distributed`, `errors`, `installation`, `study`, `study.bisect`,
`study.replay`, `study.report`, `study.table` and `study.verify`. Read `words.py` first: it collects the words that may
follow on the command line, and `shells.py` writes them into a script. The schema itself is made in
core/config/schema.py.
"""

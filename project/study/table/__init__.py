"""The command `table`: runs as a table, without torch.

Imports `config`, `console`, `errors`, `installation` and `study`. Read `command.py` first. `content.py` makes columns
of groups of runs, `notes.py` says what the means do not contain, `values.py` rounds numbers, and `formats.py` writes
text, csv, Markdown, LaTeX and HTML.
"""

"""The command `table`: runs as a table. Read `command.py` first."""

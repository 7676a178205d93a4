"""The command `find`: a learning rate, or the largest batch size. Read `command.py` first."""

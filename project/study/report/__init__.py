"""The command `report`: a run, or the runs of a directory, as one page without a server. Read `command.py` first."""

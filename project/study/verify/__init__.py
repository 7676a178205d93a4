"""The command `verify`: parts of a run are trained again, and the results compared with its checkpoints.

Imports `distributed`.
"""

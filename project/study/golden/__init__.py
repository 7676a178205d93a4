"""The command `golden`: the first losses of a configuration, by which changes of its code are noticed.

Imports `distributed`.
"""

"""The command `bisect`: the first step and tensor at which two runs differ.

Imports `distributed`.
"""

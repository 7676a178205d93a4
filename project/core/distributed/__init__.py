"""Processes of a run: Slurm and torchrun, signals, and reductions between ranks.

Imports `errors`. Read `cluster.py` first.
"""

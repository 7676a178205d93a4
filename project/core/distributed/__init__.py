"""Processes of a run: Slurm and torchrun, signals, and reductions between ranks.

Imports `errors` and `installation`. Read `cluster.py` first.
"""

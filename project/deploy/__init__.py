"""Inputs and exported models, for datasets, `predict`, notebooks and servers. Nothing here imports torch.

Imports no other package of the project. Read `inputs.py` first, then `predictor.py`.
"""

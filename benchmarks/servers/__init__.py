"""Servers and processes that `benchmarks/serving.py` starts."""

"""Tests of the command replay, and of what it is made of."""

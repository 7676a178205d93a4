"""Losses. A module here that registers a class makes it available in yaml files."""

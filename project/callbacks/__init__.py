"""Callbacks of your own. A file here with a registered class is all it takes."""

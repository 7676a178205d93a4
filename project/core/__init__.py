"""The engine: turns a yaml into a run. Its owner seldom edits it."""

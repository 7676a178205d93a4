"""The configuration: yaml files and options, merged into one tree, checked, and typed for jsonargparse.

Imports `errors`, `training.lightning_internals`, `functions`, `installation` and `registry`. Read `yaml_files.py` first
(files to one tree), then `references.py` (values that refer to others), `entries.py` (the short form `{type: NAME,
...}` to jsonargparse's `{class_path, init_args}` and back), then `configuration.py`. `given.py` and `untyped_dump.py`
write trees whose numbers have no type yet.
"""

"""What the yaml files and options of a run contained, before defaults were filled in: given.yaml."""

from typing import Any

from project.core.config.reference_texts import AppendedText, escape
from project.core.config.untyped_dump import dump_untyped
from project.core.config.yaml_files import Tree


def given_yaml(tree: Tree, resolved: Tree) -> str:
    """Return a merged tree as yaml that gives the same run; references stay as they were written.

    Args:
        tree: the merged tree of yaml files and options.
        resolved: the same tree without references.
    """
    kept = {key: _without_appended(value, resolved.get(key)) for key, value in tree.items()}
    return dump_untyped(kept)


def _without_appended(value: Any, resolved: Any) -> Any:
    """Return a value with the items of each list to which a reference was appended, as only a key `NAME+` does it."""
    if isinstance(value, dict) and isinstance(resolved, dict):
        return {key: _without_appended(item, resolved.get(key)) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if any(isinstance(item, AppendedText) for item in value):
        return escape(resolved)
    items = resolved if isinstance(resolved, list) and len(resolved) == len(value) else [None] * len(value)
    return [_without_appended(item, other) for item, other in zip(value, items, strict=True)]

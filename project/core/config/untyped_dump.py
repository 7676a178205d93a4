"""Writing values whose numbers have no type yet, as `parse_untyped` returns them, as yaml text."""

import math
from typing import Any

import yaml

from project.core.config.yaml_files import Dumper, PlainScalar, Tree


class _PlainDumper(Dumper):
    """Dumper that does not quote PlainScalars, and repeats values in place of aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_PlainDumper.add_multi_representer(
    PlainScalar,
    lambda dumper, text: dumper.represent_scalar(dumper.resolve(yaml.ScalarNode, text, (True, False)), text),  # type: ignore[no-untyped-call]
)
_PlainDumper.add_multi_representer(str, lambda dumper, text: dumper.represent_str(str(text)))


def dump_untyped(tree: Tree) -> str:
    """Return a tree of `parse_untyped` as yaml text, which `parse_untyped` reads as the same tree."""
    # One line for each text: a reference cannot continue on the next.
    return yaml.dump(tree, Dumper=_PlainDumper, sort_keys=False, width=math.inf, allow_unicode=True)


def dump_flow(value: object) -> str:
    """Return a value of `parse_untyped` as an option takes it: in one line, read as the same value."""
    style = '"' if isinstance(value, str) and value.startswith("--") else None  # else it would be another option
    how: dict[str, Any] = {"default_flow_style": True, "width": math.inf, "sort_keys": False, "allow_unicode": True}
    text: str = yaml.dump(value, Dumper=_PlainDumper, default_style=style, **how)
    return text.removesuffix("\n").removesuffix("\n...")

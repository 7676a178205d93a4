"""Size of a yaml value: aliases make a short text huge, and deep nesting exhausts the stack."""

from itertools import chain

import yaml

MAX_LEVELS = 100
_MAX_REPEATED = 100_000  # values that aliases repeat


def check_size(root: yaml.Node | None) -> None:
    """Raise MarkedYAMLError if a value contains itself, is nested too deeply, or if aliases make it huge.

    The work grows with the size of the text, not with that of the value.
    """
    measured: dict[yaml.Node, tuple[int, int]] = {}

    def measure(node: yaml.Node, parents: tuple[yaml.Node, ...]) -> tuple[int, int]:
        """Return the number of values in a node, and of levels."""
        if node in parents:
            raise yaml.MarkedYAMLError(problem="the value contains itself", problem_mark=node.start_mark)
        if node not in measured:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            items = node.value if isinstance(node, yaml.SequenceNode) else [*chain(*pairs)]
            inner = [measure(item, (*parents, node)) for item in items]
            measured[node] = 1 + sum(size for size, _ in inner), 1 + max((levels for _, levels in inner), default=0)
        return measured[node]

    size, levels = measure(root, ()) if root is not None else (0, 0)
    if levels > MAX_LEVELS:
        raise RecursionError
    if root is not None and size > len(measured) + _MAX_REPEATED:
        problem = f"aliases repeat more than {_MAX_REPEATED} values"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=root.start_mark)

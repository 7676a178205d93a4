"""Print the lowest declared versions of the direct dependencies, as constraints for pip.

    python scripts/lowest_versions.py > lowest.txt
    pip install -c lowest.txt -e '.[dev]'

It needs no package, so it runs before anything is installed.
"""

import re
import tomllib
from itertools import chain
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def declared() -> list[str]:
    """Return the requirements in pyproject.toml, with those of the extras."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *chain(*project["optional-dependencies"].values())]


def constraint(requirement: str) -> str:
    """Return `NAME==LOWEST` for a requirement such as `NAME[extra]>=LOWEST,<3`.

    Raises:
        ValueError: the requirement does not begin with its lower bound.
    """
    match = re.match(r"([\w.-]+)(?:\[.*?\])?>=([\w.]+)", requirement)
    if match is None:
        raise ValueError(f"pyproject.toml: {requirement!r} must begin with its lower bound; write NAME>=VERSION")
    return "==".join(match.groups())


if __name__ == "__main__":
    print("\n".join(constraint(requirement) for requirement in declared()))

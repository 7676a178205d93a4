"""Check of project names."""

import importlib.metadata
import importlib.util
import keyword
import re
import sys
from pathlib import Path

from new_project.git import UserError

LONGEST = 31  # with longer names, lines of the template would exceed the limit


def check_name(name: str, template: Path) -> None:
    """Check that a package and a distribution can have a name.

    Args:
        name: name of the project.
        template: directory of the template, whose files and directories must not have this name.

    Raises:
        UserError: they cannot.
    """
    if not re.fullmatch(r"[A-Za-z](\w*[A-Za-z0-9])?", name, re.ASCII):
        valid = camel_case(name).lstrip("0123456789") if name.isascii() else ""
        raise UserError(
            f"'{name}' is not a valid package name: only letters, digits and underscores, starting with a letter and "
            f"not ending with an underscore; such as {valid or 'MyProject'}"
        )
    if len(name) > LONGEST:
        raise UserError(f"'{name}' has {len(name)} characters; the maximum is {LONGEST}")
    if keyword.iskeyword(name):
        raise UserError(f"'{name}' is a Python keyword: choose another, such as {camel_case(name)}Project")
    if name in sys.stdlib_module_names:
        raise UserError(f"'{name}' is a standard library module: choose another, such as {camel_case(name)}Project")
    ignored = (template / ".gitignore").read_text(encoding="utf-8").replace("/", "").split()
    if name.casefold() in {
        Path(taken).stem.casefold() for taken in [*ignored, *(path.name for path in template.iterdir())]
    }:
        raise UserError(f"'{name}' is the name of a file or directory of the template: choose another")
    if importlib.util.find_spec(name) or _normalize(name) in _distributions(template):
        raise UserError(f"'{name}' is an installed or required package: choose another, or uninstall it")


def camel_case(name: str) -> str:
    """Convert a name to camel case: `my_project` to `MyProject`."""
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))


def _distributions(template: Path) -> set[str]:
    """Return the normalized names of installed packages and of those in constraints.txt."""
    pinned = re.findall(r"^([\w.-]+)==", (template / "constraints.txt").read_text(encoding="utf-8"), re.M)
    installed = [distribution.metadata["Name"] for distribution in importlib.metadata.distributions()]
    return {_normalize(name) for name in [*pinned, *installed] if name}


def _normalize(name: str) -> str:
    """Normalize a name as pip does, which ignores case and the kind of separator."""
    return re.sub(r"[-_.]+", "-", name).lower()

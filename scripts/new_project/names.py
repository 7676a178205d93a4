"""Which names a project can have."""

import importlib.metadata
import importlib.util
import keyword
import re
import sys
from pathlib import Path

from new_project.git import Mistake

LONGEST = 31  # with longer ones, comments of the template would leave the lines


def check_name(name: str, template: Path) -> None:
    """Whether a package and a distribution can be called so.

    Args:
        name: of the project.
        template: its folder: what stands there has its name already.

    Raises:
        Mistake: they cannot; says why.
    """
    if not re.fullmatch(r"[A-Za-z](\w*[A-Za-z0-9])?", name, re.ASCII):
        such = camel_case(name).lstrip("0123456789") if name.isascii() else ""
        raise Mistake(
            f"'{name}' cannot be the name of a package: letters, digits and underscores, first a letter, last no "
            f"underscore; such as {such or 'MyProject'}"
        )
    if len(name) > LONGEST:
        raise Mistake(f"'{name}' has {len(name)} characters; at most {LONGEST}")
    if keyword.iskeyword(name):
        raise Mistake(f"'{name}' is a keyword of Python: choose another name, such as {camel_case(name)}Project")
    if name in sys.stdlib_module_names:
        raise Mistake(f"'{name}' is a module of Python's own: choose another name, such as {camel_case(name)}Project")
    ignored = (template / ".gitignore").read_text(encoding="utf-8").replace("/", "").split()
    if name.casefold() in {
        Path(taken).stem.casefold() for taken in [*ignored, *(path.name for path in template.iterdir())]
    }:
        raise Mistake(f"'{name}' is taken by a folder or file of the template itself: choose another name")
    if importlib.util.find_spec(name) or _plain(name) in _distributions(template):
        raise Mistake(f"'{name}' is a package that is installed or needed: choose another name, or uninstall it")


def camel_case(name: str) -> str:
    """`my_project` as `MyProject`."""
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))


def _distributions(template: Path) -> set[str]:
    """What pip has installed, and what the template is tested with: pip ignores case and kind of dash."""
    pinned = re.findall(r"^([\w.-]+)==", (template / "constraints.txt").read_text(encoding="utf-8"), re.M)
    installed = [distribution.metadata["Name"] for distribution in importlib.metadata.distributions()]
    return {_plain(name) for name in [*pinned, *installed] if name}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

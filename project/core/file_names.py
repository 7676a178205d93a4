"""Names that become names of files and directories, and words of shell scripts."""

import os
import string

from project.core.errors import ConfigError

_ALLOWED = frozenset(string.ascii_letters + string.digits + "._-+=@, ")
# Names of devices on Windows, with any ending.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
MAX_LENGTH = 128  # with the endings that names get, well below the 255 that file systems allow


def check_file_name(name: str, what: str) -> None:
    """Check that a name can be that of a file or directory, and is safe in shell scripts.

    Args:
        name: the name.
        what: what has the name, for the message.

    Raises:
        ConfigError: it is not.
    """
    first, last = name[:1], name[-1:]
    if wrong := next((character for character in name if character not in _ALLOWED), None):
        problem = f"contains {wrong!r}"
    elif first in ("", ".", "-", " "):
        problem = f"begins with {first!r}" if first else "is empty"
    elif last == " ":
        problem = "ends with ' '"
    elif len(name) > MAX_LENGTH:
        problem = f"has {len(name)} characters"
    elif os.name == "nt" and (last == "." or name.partition(".")[0].strip().upper() in _DEVICES):
        problem = "is not possible on Windows"
    else:
        return
    shown = name if len(name) <= MAX_LENGTH else f"{name[:20]}..."
    raise ConfigError(
        f"{what} {shown!r} {problem}; it takes up to {MAX_LENGTH} ASCII letters, digits, inner spaces and ._-+=@, "
        "but no . or - at its start"
    )

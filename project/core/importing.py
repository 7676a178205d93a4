"""Modules that are searched for a class, or whose import fails."""

import importlib
import importlib.util
import re
import traceback
from pathlib import Path

from project.core.errors import missing_package, normalize


def find_class(module: str, name: str) -> str | None:
    """Return the name of a class, in any spelling, that a module's file defines; the module is not imported."""
    spec = importlib.util.find_spec(module)
    file = Path(spec.origin) if spec and spec.origin else Path()
    text = file.read_text(encoding="utf-8") if file.suffix == ".py" else ""
    classes = re.findall(r"^class (\w+)", text, re.MULTILINE)
    return next((found for found in classes if normalize(found) == normalize(name)), None)


def describe_import_error(error: BaseException, caller: str, module: str = "") -> str:
    """Return the exception's type, message, and file and line, in one line; for a missing package, its name.

    Args:
        error: the exception.
        caller: source file of the function that imported; its lines are not the reason.
        module: module that was to be imported, which is no package of its own.
    """
    missing = getattr(error, "name", None) or "."
    if not f"{module}.".startswith(f"{missing}.") and (needed := missing_package(error)):
        return f"it {needed}"
    internal = ("<frozen", importlib.__file__, caller)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(internal)]
    location = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames and not isinstance(error, SyntaxError) else ""
    return f"{type(error).__name__}: {error}{location}".replace("\n", " ")

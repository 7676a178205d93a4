"""Docstrings on the site: `Example::` before indented code is shown as "Example:"."""

from typing import Any

import griffe


class OneColon(griffe.Extension):
    """Extension of griffe, which reads the docstrings, for the two colons that Sphinx expects."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object after it was read."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("Example::\n", "*Example*\n").replace("::\n\n", ":\n\n")

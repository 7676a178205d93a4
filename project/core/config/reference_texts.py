"""Texts of a person that refer to other values: `${path.to.value}`, `${env:NAME,default}`; `$${` is a literal `${`."""

import re
from collections.abc import Callable
from typing import Any

from project.core.errors import ConfigError, show_value

# In a flow mapping such as {size: ${vars.size}}, yaml would take these characters of a reference for its own.
_SYNTAX = "{}[],:#"
_SHIELDS = "".join(chr(0xF7B70 + number) for number in range(len(_SYNTAX)))  # in a private use area of Unicode
_TO_SHIELDS, _FROM_SHIELDS = str.maketrans(_SYNTAX, _SHIELDS), str.maketrans(_SHIELDS, _SYNTAX)
_SHIELDED = re.compile(r"""\$\{(?:[^{}"'\n]|\$\{[^{}"'\n]*\})*\}""")
_OPENING = re.compile(r"(\$+)\{")


class ReferringText(str):
    """Text of a person's yaml or option that contains `${`. A saved text is never one, so nothing in it is resolved."""


class AppendedText(ReferringText):
    """ReferringText that was appended to a list by a key `NAME+`: a list that it refers to is appended as well."""


class Reference(str):
    """What a reference has between `${` and `}`."""


def shield(text: str) -> str:
    """Return a yaml text in which references contain no syntax of yaml; lines and columns do not change."""
    return _SHIELDED.sub(lambda match: match[0].translate(_TO_SHIELDS), text) if "${" in text else text


def mark_references(value: Any) -> Any:
    """Return a tree that was read from a shielded text, with the original texts, those with `${` as ReferringTexts."""
    if isinstance(value, str):
        text = value.translate(_FROM_SHIELDS)
        return ReferringText(text) if "${" in text else value
    if isinstance(value, dict):
        return {_mark_key(key): mark_references(item) for key, item in value.items()}
    return [mark_references(item) for item in value] if isinstance(value, list) else value


def escape(value: Any) -> Any:
    """Return a tree whose texts, read as those of a person, give the texts of `value`: `${` becomes `$${`."""
    return _replace_texts(value, lambda text: _OPENING.sub(r"$\g<0>", text))


def unescape(value: Any) -> Any:
    """Return a tree of which `escape` returned `value`; a `${` that is not escaped stays as it is."""
    return _replace_texts(value, lambda text: re.sub(r"\$(\$+\{)", r"\1", text))


def split_text(text: str, path: str) -> list[str]:
    """Return the parts of a text, of which some are References.

    Args:
        text: the text of a person.
        path: config path of the text, for messages.

    Raises:
        ConfigError: a reference does not end.
    """
    parts, literal, position = list[str](), "", 0
    while opening := _OPENING.search(text, position):
        literal += text[position : opening.start()]
        position = opening.end()
        if len(opening[1]) > 1:
            literal += opening[0][1:]
            continue
        end = _find_end(text, position)
        if end is None:
            raise ConfigError(f"{path} is {show_value(str(text))}, in which a }} is missing; a literal ${{ is $${{")
        parts += [literal] if literal else []
        parts.append(Reference(text[position:end].strip()))
        literal, position = "", end + 1
    literal += text[position:]
    return [*parts, literal] if literal or not parts else parts


def _find_end(text: str, start: int) -> int | None:
    """Return the position of the brace that closes a reference; None if there is none."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return None


def _mark_key(key: Any) -> Any:
    """Return an original key; as a ReferringText, it is refused later, with its config path."""
    text = key.translate(_FROM_SHIELDS) if isinstance(key, str) else ""
    return ReferringText(text) if "${" in text else key


def _replace_texts(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value) if "${" in value else value
    if isinstance(value, dict):
        return {key: _replace_texts(item, replace) for key, item in value.items()}
    return [_replace_texts(item, replace) for item in value] if isinstance(value, list) else value

"""The comments of configs/default.yaml, which explain the settings."""

import re
from functools import cache

from project.core.installation import find_shared

_SETTING = re.compile(r"^( *)(?:(#) ( *))?(\w+):(?: (.*))?$")  # a setting, also one that is commented out
_CONTINUED = re.compile(r"^ *# {10,}# (.*)$")


@cache
def setting_comments() -> dict[str, str]:
    """Return the comment of each setting by its config path; empty where there is no configs/default.yaml."""
    file = find_shared("configs/default.yaml")
    text = file.read_text(encoding="utf-8") if file else ""
    return {path: comment for path, comment in _read(text).items() if comment}


def _read(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    keys: list[tuple[int, str]] = []  # indentation and key of the setting and of those around it
    for line in text.splitlines():
        if not line:
            keys = []
        elif continued := _CONTINUED.match(line):
            path = ".".join(key for _, key in keys)
            if before := found.get(path):
                found[path] = f"{before}{' ' if before[-1] in ':;' else '; '}{continued[1]}"
        elif setting := _SETTING.match(line):
            column = len(setting[1]) + len(setting[3] or "")
            keys = [each for each in keys if each[0] < column] + [(column, setting[4])]
            comment = re.search(r"(?:^|\s)# (.*)$", setting[5] or "")
            found[".".join(key for _, key in keys)] = comment[1] if comment else ""
    return found

"""What a project knows of the template that it came from."""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from new_project.git import Mistake

FILE = ".template.toml"
_TEXT = """# Where this project comes from; `python scripts/start_new_proj.py --update` brings what changed there since.
name = {name}

# A folder, or what git can clone.
template = {template}

# Written by each update.
commit = {commit}
"""


class Record(NamedTuple):
    """The project's name, the template's folder or address, and the commit of it that was taken last."""

    name: str
    template: str
    commit: str

    def write(self, project: Path) -> None:
        """Writes it into a project's folder."""
        values = {key: json.dumps(value, ensure_ascii=False) for key, value in self._asdict().items()}
        (project / FILE).write_text(_TEXT.format(**values), encoding="utf-8")

    def source(self, project: Path) -> str:
        """What git clones: a folder may be relative to the project's."""
        folder = project / Path(self.template).expanduser()
        return str(folder) if folder.is_dir() else self.template


def read_record(project: Path) -> Record:
    """The record of a project.

    Raises:
        Mistake: it has none, or a damaged one.
    """
    try:
        record = Record(**tomllib.loads((project / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise Mistake(f"{project} was not started from a template: it has no {FILE}") from error
    except (ValueError, TypeError) as error:
        raise Mistake(f"{project / FILE} is damaged: {error}") from error
    if not all(isinstance(value, str) for value in record) or not re.fullmatch("[0-9a-f]{40,64}", record.commit):
        raise Mistake(f"{project / FILE} is damaged: name, template and commit are texts, and commit is one of git's")
    return record

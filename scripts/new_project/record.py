"""Record of the template in a project."""

import json
import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from new_project.git import UserError

FILE = ".template.toml"
_TEXT = """# Template of this project; `python scripts/start_new_proj.py --update` merges its later changes.
name = {name}

# A directory, or an address that git can clone.
template = {template}

# Commit of the template that was merged last; written by each update.
commit = {commit}
"""


class Record(NamedTuple):
    """Name of the project, directory or address of the template, and its commit that was merged last."""

    name: str
    template: str
    commit: str

    def write(self, project: Path) -> None:
        """Write the record to the directory of a project."""
        values = {key: json.dumps(value, ensure_ascii=False) for key, value in self._asdict().items()}
        (project / FILE).write_text(_TEXT.format(**values), encoding="utf-8")

    def source(self, project: Path) -> str:
        """Return what git clones; a directory may be relative to the project."""
        folder = project / Path(self.template).expanduser()
        return str(folder) if folder.is_dir() else self.template


def read_record(project: Path) -> Record:
    """Read the record of a project.

    Raises:
        UserError: the record is missing or damaged.
    """
    try:
        record = Record(**tomllib.loads((project / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise UserError(f"{project} was not started from a template: it has no {FILE}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{project / FILE} is damaged: {error}") from error
    if not all(isinstance(value, str) for value in record) or not re.fullmatch("[0-9a-f]{40,64}", record.commit):
        raise UserError(f"{project / FILE} is damaged: name, template and commit must be strings, commit a git hash")
    return record

"""Writes the template's files under another name: `python -m new_project.render NAME FOLDER`, in scripts/.

Projects that an older version of the template started call the newest one's so, to update themselves: this stays.
"""

import importlib.util
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from new_project.git import Git, Mistake

ROOT = Path(__file__).parent.parent.parent
OWN_ATTRIBUTES = """# `scripts/start_new_proj.py --update` leaves the page as you made it.
README.md merge=ours
"""


class Renaming:
    """Where the package is meant, its name is changed; the word elsewhere stays.

    Args:
        old: the package's name.
        new: its new one.
        members: what stands in the package: `core`, `registry.py`, `registry`, ...
    """

    def __init__(self, old: str, new: str, members: set[str]) -> None:
        self.old, self.new = old, new
        member = "|".join(sorted(map(re.escape, members), key=len, reverse=True))
        everywhere = [
            rf"(?<!\w){old}(?=_ops(?:\b|_))",  # the operations' namespace
            rf"(?<![\w-]){old}(?=/(?:{member})\b)",  # a path
            rf"(?<=[\"'`]){old}(?=/[\"'`])",
            rf"(?<![\w.-]){old}(?=\.(?:{member})\b)",  # a dotted path
            rf"\b(?<=from ){old}(?= import\b)",
            rf"(?m:(?<=^import ){old}(?=$| as\b))",
        ]
        self.rules = {
            "": everywhere,
            ".py": [*everywhere, rf"(?<![\w.-]){old}(?=\.[A-Za-z_])"],
            ".md": [*everywhere, rf"(?<=`){old}(?=`)"],
            ".toml": [*everywhere, rf'(?<="){old}(?=")', rf"(?<=share/){old}(?=/)"],
        }

    def text(self, text: str, suffix: str) -> str:
        """A file's text under the new name.

        Args:
            text: under the old one.
            suffix: of the file's name: what is meant where depends on its language.
        """
        rules = self.rules.get(suffix, self.rules[""])
        if suffix == ".md" and (example := re.search(r"--proj_name (\w+)", text)):
            rules = [*rules, rf"\b{example[1]}\b"]  # pages that begin with a project of their own speak of this one
        return re.sub("|".join(rules), self.new, text)

    def path(self, path: Path) -> Path:
        """A path below the template's folder."""
        return Path(self.new, *path.parts[1:]) if path.parts[0] == self.old else path


def render(name: str, folder: Path, root: Path = ROOT) -> None:
    """Writes what git tracks, uncommitted edits included, under a new name.

    Args:
        name: of the project.
        folder: gets the files; it is made.
        root: the template.

    Raises:
        Mistake: it is not a repository with a commit, or ruff is missing.
    """
    ruff = [sys.executable, "-m", "ruff"] if importlib.util.find_spec("ruff") else [shutil.which("ruff")]
    if ruff == [None]:
        raise Mistake("ruff is missing, which formats the code under its new name: pip install ruff")
    git = Git(root).sign()
    commit = git("stash", "create") or git("rev-parse", "HEAD")  # a commit of the edits, filed nowhere
    archive = subprocess.run(["git", "archive", commit], cwd=root, env=git.environment, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        tar.extractall(folder)
    old = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]
    members = {part for path in (folder / old).iterdir() for part in (path.name, path.stem)} | {"load"}
    renaming = Renaming(old, name, members)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if b"\0" not in data:
            path.write_text(renaming.text(data.decode(), path.suffix))
    (folder / old).rename(folder / name)
    _make_own(name, folder)
    for command in ("check --fix-only --exit-zero --select I", "format"):
        asked = [*ruff, *command.split(), "--no-cache", "."]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Mistake(f"ruff cannot read the code: {done.stderr.strip().splitlines()[-1]}")


def _make_own(name: str, folder: Path) -> None:
    """What a project says of itself."""
    (folder / ".gitattributes").write_text(OWN_ATTRIBUTES)
    for file, pattern, line in (
        ("README.md", r"\A# .*", f"# {name}"),
        ("pyproject.toml", r"(?m)^description = .*", f'description = "The research project {name}"'),
    ):
        text = (folder / file).read_text()
        (folder / file).write_text(re.sub(pattern, line, text, count=1))


if __name__ == "__main__":
    try:
        render(sys.argv[1], Path(sys.argv[2]))
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")

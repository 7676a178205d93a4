"""Writes the template's files under another name: `python -m new_project.render NAME FOLDER COMMIT`, in scripts/.

Projects that an older version of the template started call the newest one's so, to update themselves: this stays.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from new_project.git import Git, Mistake
from new_project.renaming import Renaming

ROOT = Path(__file__).resolve().parent.parent.parent


def render(name: str, folder: Path, commit: str) -> None:
    """Writes a commit of the template under a new name.

    Args:
        name: of the project.
        folder: gets the files; it is made.
        commit: of the template.

    Raises:
        Mistake: ruff is missing, or the commit is not of a template.
    """
    archive = folder.with_suffix(".tar")
    Git(ROOT)("-c", "core.autocrlf=false", "archive", "-o", str(archive), commit)
    with tarfile.open(archive) as tar:
        tar.extraction_filter = lambda member, path: member  # git's own archive of one's own repository
        tar.extractall(folder)
    archive.unlink()
    try:
        old = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        members = {part for path in (folder / old).iterdir() for part in (path.name, path.stem)} | {"load"}
        rename(folder, Renaming(old, name, members))
        (folder / old).rename(folder / name)
        _make_own(name, folder)
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise Mistake(f"the template at {commit[:10]} lacks what a project needs: {error!r}") from error
    format_code(folder)


def rename(folder: Path, renaming: Renaming) -> None:
    """Renames the package in the texts of a folder, and in what links point to."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            target = renaming.text(str(path.readlink()), "")
            path.unlink()
            path.symlink_to(target)
        elif path.is_file() and b"\0" not in (data := path.read_bytes()):
            try:
                path.write_bytes(renaming.text(data.decode(), path.suffix).encode())
            except UnicodeDecodeError:
                continue


def format_code(folder: Path) -> None:
    """Sorts imports and breaks lines as another name needs it.

    Raises:
        Mistake: ruff is missing, or cannot read the code.
    """
    ruff = [sys.executable, "-m", "ruff"] if importlib.util.find_spec("ruff") else [shutil.which("ruff") or ""]
    if ruff == [""]:
        raise Mistake("ruff is missing, which formats the code under its new name: pip install ruff")
    for command in ("check --fix-only --exit-zero --select I", "format"):
        asked = [*ruff, *command.split(), "--no-cache", "--no-respect-gitignore", "."]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2]
            raise Mistake(f"ruff cannot format the code: {why}")


def _make_own(name: str, folder: Path) -> None:
    """What a project says of itself; and that its README, once it was edited, is left alone by updates."""
    for file, pattern, line in (
        ("README.md", r"\A# .*", f"# {name}"),
        ("pyproject.toml", r"(?m)^description = .*", f'description = "The research project {name}"'),
    ):
        text = (folder / file).read_text(encoding="utf-8")
        (folder / file).write_text(re.sub(pattern, line, text, count=1), encoding="utf-8")
    attributes = folder / ".gitattributes"
    lines = attributes.read_text(encoding="utf-8").splitlines()[1:] if attributes.exists() else []
    kept = [line for line in lines if "export-ignore" not in line]
    own = ["# `scripts/start_new_proj.py --update` leaves it alone once it was edited.", "/README.md merge=ours"]
    attributes.write_text("\n".join([*kept, *own, ""]), encoding="utf-8")


if __name__ == "__main__":
    try:
        render(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except Mistake as mistake:
        sys.exit(f"error: {mistake}")

"""Rendering of the template under another name: `python -m new_project.render NAME FOLDER COMMIT`, in scripts/.

Projects started from older versions of the template run this command of the newest version to update: do not change it.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from write_llms_txt import FILE, describe_site

from new_project.git import Git, UserError
from new_project.renaming import Renaming

ROOT = Path(__file__).resolve().parent.parent.parent
_TEMPLATE_ONLY = "# Files that only the template needs; projects are started without them and without this line."
_NEWER = ("CITATION.cff", "zensical.toml", "docs/index.md")  # not in older commits, which an update renders as well


def render(name: str, folder: Path, commit: str) -> None:
    """Write the files of a commit of the template under a new name.

    Args:
        name: name of the project.
        folder: directory for the files, which is created.
        commit: commit of the template.

    Raises:
        UserError: ruff is missing, or the commit does not contain a template.
    """
    archive = folder.with_suffix(".tar")
    Git(ROOT)("-c", "core.autocrlf=false", "archive", "-o", str(archive), commit)
    with tarfile.open(archive) as tar:
        tar.extraction_filter = lambda member, path: member  # the archive is trusted: it is from this repository
        tar.extractall(folder)
    archive.unlink()
    try:
        old = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        members = {part for path in (folder / old).iterdir() for part in (path.name, path.stem)}
        code = (folder / old / "__init__.py").read_text(encoding="utf-8")
        members |= {"Predictor", *re.findall(r"^def ([a-z]\w*)", code, re.M)}  # attributes of the package itself
        rename(folder, Renaming(old, name, members))
        (folder / old).rename(folder / name)
        _make_own(name, folder)
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the template at {commit[:10]} is incomplete: {error!r}") from error
    format_code(folder)


def rename(folder: Path, renaming: Renaming) -> None:
    """Rename the package in all text files of a directory and in the targets of its links."""
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
    """Sort imports and wrap lines, which depend on the name of the package.

    Raises:
        UserError: ruff is missing or cannot parse the code.
    """
    ruff = [sys.executable, "-m", "ruff"] if importlib.util.find_spec("ruff") else [shutil.which("ruff") or ""]
    if ruff == [""]:
        raise UserError("ruff, which formats the renamed code, is missing: pip install ruff")
    for command in ("check --fix-only --exit-zero --select I", "format"):
        asked = [*ruff, *command.split(), "--no-cache", "--no-respect-gitignore", "."]
        done = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            why = done.stderr.strip().rpartition("\n")[2]
            raise UserError(f"ruff cannot format the code: {why}")


def _make_own(name: str, folder: Path) -> None:
    """Set titles and descriptions, leave out the changelog, and exclude an edited README from updates."""
    for file, pattern, line in (
        ("README.md", r"\A# .*", f"# {name}"),
        ("pyproject.toml", r"(?m)^description = .*", f'description = "The research project {name}"'),
        ("pyproject.toml", r"(?m)(^keywords = .*), \"template\"", r"\1"),
        ("CITATION.cff", r"(?m)^title: .*", f"title: {name}"),
        ("zensical.toml", r"(?m)^site_name = .*", f'site_name = "{name}"'),
        ("zensical.toml", r"(?m)^site_description = .*", f'site_description = "The research project {name}"'),
        ("zensical.toml", r"(?m)^ *\"changelog\.md\",\n", ""),
        ("docs/index.md", r"\A# .*", f"# {name}"),
    ):
        if file in _NEWER and not (folder / file).exists():
            continue
        text = (folder / file).read_text(encoding="utf-8")
        (folder / file).write_text(re.sub(pattern, line, text, count=1), encoding="utf-8")
    if (folder / FILE).exists():
        (folder / FILE).write_text(describe_site(folder), encoding="utf-8")
    attributes = folder / ".gitattributes"
    lines = attributes.read_text(encoding="utf-8").splitlines() if attributes.exists() else []
    own = ["# `scripts/start_new_proj.py --update` does not change an edited README.", "/README.md merge=ours"]
    kept = [line for line in lines if not line.endswith("export-ignore") and line not in (_TEMPLATE_ONLY, *own)]
    attributes.write_text("\n".join([*kept, *own, ""]), encoding="utf-8")


if __name__ == "__main__":
    try:
        render(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
    except UserError as error:
        sys.exit(f"error: {error}")

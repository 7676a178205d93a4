"""Start a research project from this template, or merge later changes of the template into a project.

    python scripts/start_new_proj.py --proj_name MyProject --proj_loc ..
    python scripts/start_new_proj.py --update --dry_run
    python scripts/start_new_proj.py --update

docs/new_project.md explains what is renamed and how an update works.
"""

import argparse
import shlex
import shutil
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp

from new_project.git import Git, UserError
from new_project.names import camel_case, check_name
from new_project.record import Record
from new_project.render import ROOT, render
from new_project.update import BRANCH, TERMINATION_SIGNALS, commit_render, store, update


def start(name: str, location: Path) -> Path:
    """Create a project completely, or nothing if that fails.

    Args:
        name: name of the project, its package and its directory.
        location: parent directory of the project.

    Raises:
        UserError: the name is invalid, the directory exists, or the template is not a repository.
    """
    check_name(name, ROOT)
    target = location.expanduser().resolve() / name
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} already exists: choose another name or directory")
    if target.is_relative_to(ROOT):
        raise UserError(f"{target} is inside the template: choose another directory, such as --proj_loc {ROOT.parent}")
    missing = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(mkdtemp(prefix=f".{name}.", dir=target.parent))
        try:
            fill(name, work / name)
            (work / name).rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except BaseException as error:
        for folder in missing:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"cannot create {target}: {error.strerror}: {error.filename}") from error
        raise
    return target


def fill(name: str, folder: Path) -> None:
    """Write the files of a project to a new repository."""
    template = Git(ROOT).with_identity()
    template.check_top("the template")
    commit = template("rev-parse", "HEAD")
    edited = template("stash", "create")  # a commit of the uncommitted changes, on no branch
    render(name, folder, edited or commit)
    Record(name, str(ROOT), commit).write(folder)
    git = Git(folder)
    git("init", "-q")
    git("symbolic-ref", "HEAD", "refs/heads/main")
    first = commit_render(git.with_identity(), store(git, folder), commit)
    for branch in ("main", BRANCH):
        git("update-ref", f"refs/heads/{branch}", first)
    git("reset", "-q", "--mixed")


def describe_edits() -> str:
    """Return lines that list the uncommitted changes of the template."""
    lines = Git(ROOT)("status", "--porcelain", "--no-renames").splitlines()
    changed = [line[3:] for line in lines if not line.startswith("??")]
    unknown = [line[3:] for line in lines if line.startswith("??")]
    said = [f"including uncommitted changes of the template: {', '.join(changed)}"] if changed else []
    said += [f"not including untracked files: {', '.join(unknown)}"] if unknown else []
    return "".join(f"{line}\n" for line in said)


def main(argv: list[str]) -> int:
    """Start or update a project and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proj_name", metavar="NAME", help="name of the package and its directory")
    parser.add_argument("--proj_loc", metavar="DIR", type=Path, help="parent directory of the project")
    parser.add_argument("--update", action="store_true", help="in a project: merge the changes of the template")
    parser.add_argument("--dry_run", action="store_true", help="with --update: show the changes and merge nothing")
    options = parser.parse_args(argv)
    given = [options.proj_name is not None, options.proj_loc is not None]
    if any(given) if options.update else options.dry_run or not all(given):
        parser.error("give --proj_name NAME and --proj_loc DIR, or, in a project, --update [--dry_run]")
    for number in TERMINATION_SIGNALS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that `start` removes an incomplete project
    try:
        if options.update:
            return update(ROOT, options.dry_run)
        target = start(options.proj_name, options.proj_loc)
        said = describe_edits()
    except UserError as error:
        print("error:", error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    better = camel_case(options.proj_name)
    advice = "" if better == options.proj_name else f"By convention, the name would be {better}.\n"
    print(f"{said}{advice}{target} is ready. Next, in an environment of your choice:\n\ncd {shlex.quote(str(target))}")
    print("pip install -c constraints.txt -e '.[dev]'\npython cli.py fit --config configs/digits.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Starts a research project of your own from this template, or brings the template's later changes into one.

    python scripts/start_new_proj.py --proj_name MyProject --proj_loc ..
    python scripts/start_new_proj.py --update --dry_run
    python scripts/start_new_proj.py --update

docs/new_project.md says what is renamed, and how an update works.
"""

import argparse
import shutil
import signal
import sys
from pathlib import Path
from tempfile import mkdtemp

from new_project.git import Git, Mistake
from new_project.names import advice, check_name
from new_project.record import Record
from new_project.render import render
from new_project.update import BRANCH, update

ROOT = Path(__file__).resolve().parent.parent


def start(name: str, location: Path) -> Path:
    """Makes a project, whole or not at all.

    Args:
        name: of the project, its package and its folder.
        location: the folder that gets it.

    Raises:
        Mistake: it cannot be called so, the folder is there, or the template is no repository.
    """
    check_name(name, ROOT)
    target = location.resolve() / name
    if target.exists():
        raise Mistake(f"{target} is there already: choose another name or another folder")
    if target.is_relative_to(ROOT):
        raise Mistake(f"{target} would lie in the template: choose a folder outside, such as --proj_loc {ROOT.parent}")
    template = Git(ROOT)
    commit = template("rev-parse", "HEAD")
    made = next((path for path in reversed(target.parents) if not path.exists()), None)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(mkdtemp(prefix=f".{name}.", dir=target.parent))
    try:
        render(name, work / name)
        Record(name, str(ROOT), commit).write(work / name)
        git = Git(work / name).sign()
        git("init", "-q")
        git("symbolic-ref", "HEAD", "refs/heads/main")
        git("add", "--all", "--force")
        git("-c", "core.hooksPath=/dev/null", "commit", "-q", "-m", f"Begin {name} from the template at {commit[:10]}")
        git("branch", BRANCH)
        (work / name).rename(target)
    except BaseException:
        shutil.rmtree(made or work, ignore_errors=True)
        raise
    work.rmdir()
    return target


def edits() -> str:
    """What git has not committed of the template."""
    lines = Git(ROOT)("status", "--porcelain").splitlines()
    changed = [line.split(maxsplit=1)[1] for line in lines if not line.startswith("??")]
    unknown = [line[3:] for line in lines if line.startswith("??")]
    said = [f"with what is not committed of the template: {', '.join(changed)}"] if changed else []
    said += [f"without what git does not track: {', '.join(unknown)}"] if unknown else []
    return "".join(f"{line}\n" for line in said)


def main(argv: list[str]) -> int:
    """Starts or updates, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proj_name", metavar="NAME", help="of the package and its folder")
    parser.add_argument("--proj_loc", metavar="DIR", type=Path, help="the folder that gets the project's folder")
    parser.add_argument("--update", action="store_true", help="in a project: merge what changed in the template")
    parser.add_argument("--dry_run", action="store_true", help="with --update: show it, and change nothing")
    options = parser.parse_args(argv)
    starts = options.proj_name is not None and options.proj_loc is not None
    if starts == options.update or (options.dry_run and not options.update):
        parser.error("give --proj_name NAME and --proj_loc DIR, or, in a project, --update, which may have --dry_run")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nothing half-made stays
    try:
        if options.update:
            return update(ROOT, options.dry_run)
        said = edits()
        target = start(options.proj_name, options.proj_loc)
    except Mistake as mistake:
        print("error:", mistake, file=sys.stderr)
        return 2
    print(f"{said}{advice(options.proj_name)}{target} is ready. Next, in an environment of your choice:\n")
    print(f"cd {target}\npip install -c constraints.txt -e '.[dev]'\npython cli.py fit --config configs/digits.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

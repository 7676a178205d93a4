"""A project is started whole or not at all, and is one of its own."""

import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from tests.template.conftest import ROOT, START, commit, git, run, start

sys.path.append(str(ROOT / "scripts"))
from new_project.names import LONGEST, camel_case

LONG = "A_very_long_name_of_a_project_1"

LONG = "A_very_long_name_of_a_project_1"


def test_a_project_is_whole(copy: Path, tmp_path: Path) -> None:
    printed = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "new/place"))
    child = tmp_path / "new/place/Alpha"
    assert printed == (
        f"{child} is ready. Next, in an environment of your choice:\n\n"
        f"cd {child}\npip install -c constraints.txt -e '.[dev]'\npython cli.py fit --config configs/digits.yaml\n"
    )
    assert git(child, "status", "--porcelain", "--ignored") == ""
    new = git(copy, "rev-parse", "HEAD")
    assert git(child, "log", "--format=%D %s", "--all") == f"HEAD -> main, template The template at {new[:10]}"
    assert tomllib.loads((child / ".template.toml").read_text()) == {
        "name": "Alpha",
        "template": str(copy),
        "commit": git(copy, "rev-parse", "HEAD"),
    }
    assert [path.name for path in child.parent.iterdir()] == ["Alpha"]
    check_files(copy, child)


def check_files(copy: Path, child: Path) -> None:
    """The same files but for those of the template alone, and the package only under its new name."""
    before, after = (set(git(folder, "ls-files").splitlines()) for folder in (copy, child))
    left_out = {name for name in before if name.startswith("tests/template/")}
    left_out |= {"CHANGELOG.md", ".ci/template", "tests/slurm/test_page.py"}
    renamed = {re.sub("^project/", "Alpha/", name) for name in before - left_out}
    assert after == renamed | {".template.toml"}
    assert (child / ".ci/run").stat().st_mode & 0o111
    assert (child / "README.md").read_text().startswith("# Alpha\n")
    pyproject = tomllib.loads((child / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == "Alpha"
    assert pyproject["tool"]["mypy"]["files"] == ["Alpha", "ops", "cli.py"]
    assert (child / "Alpha/datasets/digits.npz").read_bytes() == (copy / "project/datasets/digits.npz").read_bytes()
    code = "".join(path.read_text() for path in child.rglob("*.py"))
    assert not re.search(
        r'\b(from|import) project\b|\bproject\.(core|registry)|\bproject_ops|project/core|"project",', code
    )


@pytest.mark.parametrize("name", [LONG, "a", "Metric", "zz_project"])
def test_lint_of_any_name(copy: Path, tmp_path: Path, name: str) -> None:
    assert len(LONG) == LONGEST
    child = start(copy, tmp_path, name)
    for tool in ("ruff check .", "ruff format --check ."):
        run(child, sys.executable, "-m", *tool.split(), "--no-cache")


@pytest.mark.slow
@pytest.mark.parametrize("name", [LONG, "a", "Metric"])
def test_a_project_of_an_awkward_name_works(copy: Path, tmp_path: Path, name: str) -> None:
    child = start(copy, tmp_path, name)
    assert re.search(r"\d\d\d passed", run(child, sys.executable, "-m", "pytest", "-q", "tests/contract"))
    arguments = ("--trainer.fast_dev_run", "true", "--model.loss.cross_entropy.weight", "0.5")
    run(child, sys.executable, "cli.py", "fit", "--config", "configs/digits.yaml", *arguments)
    run(child, sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy"))
    assert git(child, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "'' cannot be the name of a package: letters, digits and underscores, * such as MyProject"),
        ("my-project", "'my-project' cannot be the name of a package: * such as MyProject"),
        ("my project", "'my project' cannot be the name of a package: * such as MyProject"),
        ("3d", "'3d' cannot be the name of a package: * such as d"),
        ("x_", "'x_' cannot be the name of a package: *; such as X"),
        ("_x", "'_x' cannot be the name of a package: *"),
        ("../x", "'../x' cannot be the name of a package: *"),
        ("Größe", "'Größe' cannot be the name of a package: * such as MyProject"),
        (f"{LONG}2", f"'{LONG}2' has 32 characters; at most 31"),
        ("class", "'class' is a keyword of Python: choose another name, such as ClassProject"),
        ("json", "'json' is a module of Python's own: choose another name, such as JsonProject"),
        ("torch", "'torch' is a package that is installed or needed: *"),
        ("Torch", "'Torch' is a package that is installed or needed: *"),
        ("Pytorch_Lightning", "'Pytorch_Lightning' is a package that is installed or needed: *"),
        ("ops", "'ops' is taken by a folder or file of the template itself: choose another name"),
        ("Tests", "'Tests' is taken by a folder or file of the template itself: choose another name"),
        ("project", "'project' is taken by a folder or file of the template itself: choose another name"),
        ("data", "'data' is taken by a folder or file of the template itself: choose another name"),
        ("There", "*/There is there already: choose another name or another folder"),
    ],
)  # fmt: skip
def test_names_that_cannot_be(copy: Path, tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "There").mkdir()
    shown = run(copy, sys.executable, START, "--proj_name", name, "--proj_loc", str(tmp_path), code=2)
    assert re.fullmatch("error: " + ".*".join(map(re.escape, says.split("*"))) + "\n", shown), shown
    assert [path.name for path in tmp_path.iterdir()] == ["There"]


def test_another_name_is_kept_and_a_better_one_named(copy: Path, tmp_path: Path) -> None:
    assert camel_case("MyProject") == "MyProject"
    printed = run(copy, sys.executable, START, "--proj_name", "my_project", "--proj_loc", str(tmp_path))
    assert printed.startswith(f"Readers would expect a name such as MyProject.\n{tmp_path / 'my_project'} is ready.")


def test_options_that_do_not_fit_together(copy: Path, tmp_path: Path) -> None:
    for options in (
        [],
        ["--proj_name", "Alpha"],
        ["--update", "--proj_name", "Alpha", "--proj_loc", "."],
        ["--dry_run"],
    ):
        assert "error: give --proj_name NAME and --proj_loc DIR, or" in run(
            copy, sys.executable, START, *options, code=2
        )
    inside = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", ".", code=2)
    assert inside.endswith(f"would lie in the template: choose a folder outside, such as --proj_loc {copy.parent}\n")
    assert git(copy, "status", "--porcelain") == ""


def test_edits_come_along_and_are_named(template: Path, tmp_path: Path) -> None:
    for name, text in (("configs/digits.yaml", "\n# edited\n"), ("cli.py", "\n")):
        with (template / name).open("a") as file:
            file.write(text)
    (template / "added.py").touch()
    git(template, "add", "added.py")
    (template / "unknown.py").touch()
    before = git(template, "status", "--porcelain")
    printed = run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path))
    assert printed.splitlines()[:2] == [
        "with what is not committed of the template: added.py, cli.py, configs/digits.yaml",
        "without what git does not track: unknown.py",
    ]
    assert (tmp_path / "Alpha/configs/digits.yaml").read_text().endswith("# edited\n")
    assert (tmp_path / "Alpha/added.py").exists()
    assert not (tmp_path / "Alpha/unknown.py").exists()
    assert git(template, "status", "--porcelain") == before
    assert git(template, "stash", "list") == ""


def test_nothing_half_made_is_left(template: Path, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    (template / "project/core/files.py").write_text("def broken(:\n")
    command = (START, "--proj_name", "Alpha", "--proj_loc")
    shown = run(template, sys.executable, *command, str(tmp_path / "place"), code=2)
    assert shown.startswith("error: ruff cannot format the code: ")
    assert "files.py" in shown
    assert len(shown.splitlines()) <= 4
    run(template, sys.executable, *command, str(tmp_path / "new/deep"), code=2)
    assert list((tmp_path / "place").iterdir()) == []
    assert not (tmp_path / "new").exists()


def test_a_termination_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    command = [sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "place")]
    real = run(copy, "sh", "-c", "command -v git").strip()
    (tmp_path / "slow/git").write_text(f'#!/bin/sh\n[ "$1" = init ] && exec sleep 60\nexec {real} "$@"\n')
    (tmp_path / "slow/git").chmod(0o755)
    process = subprocess.Popen(command, cwd=copy, env={"PATH": f"{tmp_path / 'slow'}:/usr/bin:/bin"})
    while not list(tmp_path.glob("place/.Alpha.*/Alpha/.template.toml")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not (tmp_path / "place").exists()


def test_a_template_that_is_no_repository(tmp_path: Path, copy: Path) -> None:
    run(copy, "git", "archive", "--worktree-attributes", "-o", str(tmp_path / "all.tar"), "HEAD")
    (tmp_path / "plain").mkdir()
    run(tmp_path, "tar", "xf", "all.tar", "-C", "plain")
    shown = run(tmp_path / "plain", sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), code=2)
    assert shown == f"error: the template {tmp_path / 'plain'} must be a git repository of its own: clone it\n"
    git(tmp_path / "plain", "init", "-q")
    shown = run(tmp_path / "plain", sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), code=2)
    assert shown == f"error: the template {tmp_path / 'plain'} has no commit yet\n"
    assert not (tmp_path / "Alpha").exists()


def test_a_project_of_a_project(copy: Path, tmp_path: Path) -> None:
    alpha = start(copy, tmp_path, "Alpha")
    (alpha / "Alpha/models/own.py").write_text("from Alpha.models.base import Model\n\n__all__ = ['Model']\n")
    commit(alpha, "Own")
    beta = start(alpha, tmp_path, "Beta")
    assert "from Beta.models.base" in (beta / "Beta/models/own.py").read_text()
    assert not list(beta.glob("Alpha"))
    assert tomllib.loads((beta / ".template.toml").read_text())["template"] == str(alpha)


def test_places(copy: Path, tmp_path: Path) -> None:
    place = tmp_path / "a 'quoted' place, größer"
    printed = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(place))
    (line,) = (line for line in printed.splitlines() if line.startswith("cd "))
    assert run(tmp_path, "bash", "-c", f"{line} && pwd") == f"{place / 'Alpha'}\n"
    (tmp_path / "file").touch()
    for where in ("file", "file/below"):
        shown = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / where), code=2)
        assert shown.startswith(f"error: {tmp_path / where / 'Alpha'} cannot be made: ")
    run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", "~/x", HOME=str(tmp_path))
    assert (tmp_path / "x/Alpha").is_dir()


def test_only_what_this_start_made_is_taken_away(template: Path, tmp_path: Path) -> None:
    (template / "project/core/files.py").write_text("def broken(:\n")
    (tmp_path / "bin").mkdir()
    real = run(template, "sh", "-c", "command -v git").strip()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\ntouch {tmp_path}/new/notes.txt 2>/dev/null\nexec {real} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    command = [sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "new/deep")]
    done = subprocess.run(command, cwd=template, env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, check=False)
    assert done.returncode == 2
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["notes.txt"]


def test_files_of_all_kinds(template: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("from project import load\n")
    (template / "outside").symlink_to(tmp_path / "mine.txt")
    (template / "inside").symlink_to("project/models")
    (template / "latin.csv").write_bytes(b"gr\xf6\xdfe, project/core\n")
    (template / "über x.yaml").write_text("type: project.core.x\n")
    with (template / ".gitattributes").open("a") as file:
        file.write("*.bin filter=large\n")
    git(template, "config", "core.autocrlf", "true")
    commit(template, "Files of all kinds")
    child = start(template, tmp_path, "Alpha")
    assert (tmp_path / "mine.txt").read_text() == "from project import load\n"
    assert (child / "outside").readlink() == tmp_path / "mine.txt"
    assert (child / "inside/base.py").exists()
    assert (child / "latin.csv").read_bytes() == b"gr\xf6\xdfe, project/core\n"
    assert (child / "über x.yaml").read_text() == "type: Alpha.core.x\n"
    assert (child / ".gitattributes").read_text().startswith("*.bin filter=large\n#")
    assert b"\r" not in (child / "scripts/slurm.sh").read_bytes() + (child / "cli.py").read_bytes()
    assert git(child, "status", "--porcelain") == ""


def test_somebody_without_an_identity_and_with_hooks_that_fail(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    for hook in ("pre-commit", "commit-msg", "post-checkout"):
        (tmp_path / "hooks" / hook).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    settings = f"[core]\nhooksPath = {tmp_path}/hooks\nexcludesFile = {tmp_path}/ignored\n[commit]\ngpgSign=1\n"
    (tmp_path / ".gitconfig").write_text(settings)
    (tmp_path / "ignored").write_text("*.npz\n*.md\n")
    run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), HOME=str(tmp_path))
    child = tmp_path / "Alpha"
    assert "Alpha/datasets/digits.npz" in git(child, "ls-files")
    assert "@" in git(child, "log", "-1", "--format=%ce")
    assert git(child, "status", "--porcelain") == ""


def test_within_a_hook_of_another_repository(template: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "other")
    variables = {"GIT_DIR": str(tmp_path / "other/.git"), "GIT_INDEX_FILE": str(tmp_path / "other/index")}
    run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), **variables)
    assert git(tmp_path / "Alpha", "status", "--porcelain") == ""
    assert git(tmp_path / "other", "for-each-ref") == ""

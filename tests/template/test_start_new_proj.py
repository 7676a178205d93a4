"""Tests that a project is created completely or not at all, and is independent of the template."""

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
from new_project.git import UserError
from new_project.names import LONGEST, camel_case, check_name
from start_new_proj import main

LONG = "A_very_long_name_of_a_project_1"


def test_a_new_project_is_complete(copy: Path, tmp_path: Path) -> None:
    printed = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "new/location"))
    child = tmp_path / "new/location/Alpha"
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
    """Check that only files of the template are missing, and that the package has only its new name."""
    before, after = (set(git(folder, "ls-files").splitlines()) for folder in (copy, child))
    left_out = {name for name in before if name.startswith("tests/template/")}
    left_out |= {"CHANGELOG.md", "docs/changelog.md", "tests/slurm/test_page.py"}
    left_out |= {f".ci/{name}" for name in ("start_projects", "test_projects")}
    renamed = {re.sub("^project/", "Alpha/", name) for name in before - left_out}
    assert after == renamed | {".template.toml"}
    assert all(path.stat().st_mode & 0o111 for path in (child / ".ci/run", *(child / "scripts").glob("*.sh")))
    assert (child / "README.md").read_text().startswith("# Alpha\n")
    pyproject = tomllib.loads((child / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == "Alpha"
    assert pyproject["tool"]["mypy"]["files"][:2] == ["Alpha", "ops"]
    assert (child / "Alpha/datasets/digits.npz").read_bytes() == (copy / "project/datasets/digits.npz").read_bytes()
    assert "template" not in pyproject["project"]["keywords"]
    assert "\ntitle: Alpha\n" in (child / "CITATION.cff").read_text()
    code = "".join(path.read_text() for path in child.rglob("*.py"))
    assert not re.search(
        r'\b(from|import) project\b|\bproject\.(core|registry)|\bproject_ops|project/core|"project(?:",|\.")', code
    )
    pages = "".join(path.read_text() for path in child.rglob("*.md") if path.name != "new_project.md")
    assert not re.search(r"\bproject\.(?:[a-z_]+\(|[A-Z]|bash|fish)|share/project/|\bimport project\b", pages)


@pytest.mark.slow  # .ci/test_projects checks it for one name
@pytest.mark.parametrize("name", [LONG, "a", "Metric", "zz_project"])
def test_code_is_formatted_for_any_name(copy: Path, tmp_path: Path, name: str) -> None:
    assert len(LONG) == LONGEST
    printed = run(copy, sys.executable, START, "--proj_name", name, "--proj_loc", str(tmp_path))
    child, better = tmp_path / name, camel_case(name)
    advice = f"By convention, the name would be {better}.\n" if better != name else ""
    assert printed.startswith(f"{advice}{child} is ready.")
    for tool in ("ruff check .", "ruff format --check ."):
        run(child, sys.executable, "-m", *tool.split(), "--no-cache")


@pytest.mark.slow
@pytest.mark.parametrize("name", [LONG, "a", "Metric"])
def test_a_project_with_an_awkward_name_works(copy: Path, tmp_path: Path, name: str) -> None:
    child = start(copy, tmp_path, name)
    assert re.search(r"\d\d\d passed", run(child, sys.executable, "-m", "pytest", "-q", "tests/contract"))
    arguments = ("--trainer.fast_dev_run", "true", "--model.loss.cross_entropy.weight", "0.5")
    run(child, sys.executable, "cli.py", "fit", "--config", "configs/digits.yaml", *arguments)
    run(child, sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy"))
    assert git(child, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "'' is not a valid package name: only letters, digits and underscores, * such as MyProject"),
        ("my-project", "'my-project' is not a valid package name: * such as MyProject"),
        ("my project", "'my project' is not a valid package name: * such as MyProject"),
        ("3d", "'3d' is not a valid package name: * such as d"),
        ("x_", "'x_' is not a valid package name: *; such as X"),
        ("_x", "'_x' is not a valid package name: *"),
        ("../x", "'../x' is not a valid package name: *"),
        ("Größe", "'Größe' is not a valid package name: * such as MyProject"),
        (f"{LONG}2", f"'{LONG}2' has 32 characters; the maximum is 31"),
        ("class", "'class' is a Python keyword: choose another, such as ClassProject"),
        ("json", "'json' is a standard library module: choose another, such as JsonProject"),
        ("torch", "'torch' is an installed or required package: *"),
        ("Torch", "'Torch' is an installed or required package: *"),
        ("Pytorch_Lightning", "'Pytorch_Lightning' is an installed or required package: *"),
        ("ops", "'ops' is the name of a file or directory of the template: choose another"),
        ("Tests", "'Tests' is the name of a file or directory of the template: choose another"),
        ("project", "'project' is the name of a file or directory of the template: choose another"),
        ("data", "'data' is the name of a file or directory of the template: choose another"),
    ],
)  # fmt: skip
def test_invalid_names_are_an_error(name: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        check_name(name, ROOT)
    assert re.fullmatch(".*".join(map(re.escape, message.split("*"))), str(caught.value))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torch", "'torch' is an installed or required package: choose another, or uninstall it"),
        ("There", "There already exists: choose another name or directory"),
    ],
)
def test_start_with_an_error_in_the_name_creates_nothing(copy: Path, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "There").mkdir()
    shown = run(copy, sys.executable, START, "--proj_name", name, "--proj_loc", str(tmp_path), code=2)
    assert shown.startswith("error: ")
    assert shown.endswith(f"{message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["There"]


def test_conventional_name() -> None:
    assert [camel_case(name) for name in ("MyProject", "my_project", "a_1b")] == ["MyProject", "MyProject", "A1b"]


@pytest.mark.parametrize(
    "options", [[], ["--proj_name", "Alpha"], ["--update", "--proj_name", "Alpha", "--proj_loc", "."], ["--dry_run"]]
)
def test_incompatible_options_are_an_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert "error: give --proj_name NAME and --proj_loc DIR, or" in capsys.readouterr().err


def test_location_inside_the_template_is_an_error(copy: Path) -> None:
    inside = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", ".", code=2)
    assert inside.endswith(f"is inside the template: choose another directory, such as --proj_loc {copy.parent}\n")
    assert git(copy, "status", "--porcelain") == ""


@pytest.mark.slow
def test_uncommitted_changes_are_included_and_listed(template: Path, tmp_path: Path) -> None:
    for name, text in (("configs/digits.yaml", "\n# edited\n"), ("cli.py", "\n")):
        with (template / name).open("a") as file:
            file.write(text)
    (template / "added.py").touch()
    git(template, "add", "added.py")
    (template / "unknown.py").touch()
    before = git(template, "status", "--porcelain")
    printed = run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path))
    assert printed.splitlines()[:2] == [
        "including uncommitted changes of the template: added.py, cli.py, configs/digits.yaml",
        "not including untracked files: unknown.py",
    ]
    assert (tmp_path / "Alpha/configs/digits.yaml").read_text().endswith("# edited\n")
    assert (tmp_path / "Alpha/added.py").exists()
    assert not (tmp_path / "Alpha/unknown.py").exists()
    assert git(template, "status", "--porcelain") == before
    assert git(template, "stash", "list") == ""


@pytest.mark.slow
def test_a_failed_start_leaves_nothing(template: Path, tmp_path: Path) -> None:
    (tmp_path / "location").mkdir()
    (template / "project/core/files.py").write_text("def broken(:\n")
    command = (START, "--proj_name", "Alpha", "--proj_loc")
    shown = run(template, sys.executable, *command, str(tmp_path / "location"), code=2)
    assert shown.startswith("error: ruff cannot format the code: ")
    assert "files.py" in shown
    assert len(shown.splitlines()) <= 4
    run(template, sys.executable, *command, str(tmp_path / "new/deep"), code=2)
    assert list((tmp_path / "location").iterdir()) == []
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_terminated_start_leaves_nothing(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    command = [sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "location")]
    real = run(copy, "sh", "-c", "command -v git").strip()
    (tmp_path / "slow/git").write_text(
        f'#!/bin/sh\ncase " $* " in *" init "*) exec sleep 60;; esac\nexec {real} "$@"\n'
    )
    (tmp_path / "slow/git").chmod(0o755)
    process = subprocess.Popen(command, cwd=copy, env={"PATH": f"{tmp_path / 'slow'}:/usr/bin:/bin"})
    while not list(tmp_path.glob("location/.Alpha.*/Alpha/.template.toml")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 143
    assert not (tmp_path / "location").exists()


def test_a_template_that_is_not_a_repository_is_an_error(tmp_path: Path, copy: Path) -> None:
    run(copy, "git", "archive", "--worktree-attributes", "-o", str(tmp_path / "all.tar"), "HEAD")
    (tmp_path / "plain").mkdir()
    run(tmp_path, "tar", "xf", "all.tar", "-C", "plain")
    shown = run(tmp_path / "plain", sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), code=2)
    assert shown == f"error: the template {tmp_path / 'plain'} must be a git repository of its own: clone it\n"
    git(tmp_path / "plain", "init", "-q")
    shown = run(tmp_path / "plain", sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), code=2)
    assert shown == f"error: the template {tmp_path / 'plain'} has no commit yet\n"
    assert not (tmp_path / "Alpha").exists()


@pytest.mark.slow
def test_a_project_can_be_the_template_of_another(copy: Path, tmp_path: Path) -> None:
    alpha = start(copy, tmp_path, "Alpha")
    (alpha / "Alpha/models/own.py").write_text("from Alpha.models.base import Model\n\n__all__ = ['Model']\n")
    attributes = (alpha / ".gitattributes").read_text()
    (alpha / ".gitattributes").write_text(f"*.bin binary\n{attributes}")
    commit(alpha, "Own")
    beta = start(alpha, tmp_path, "Beta")
    assert (beta / ".gitattributes").read_text() == f"*.bin binary\n{attributes}"
    assert attributes.splitlines()[1:] == ["/README.md merge=ours"]
    assert "from Beta.models.base" in (beta / "Beta/models/own.py").read_text()
    assert not list(beta.glob("Alpha"))
    assert tomllib.loads((beta / ".template.toml").read_text())["template"] == str(alpha)


@pytest.mark.slow
def test_unusual_locations(template: Path, tmp_path: Path) -> None:
    location = tmp_path / "a 'quoted' directory, größer"
    printed = run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(location))
    (line,) = (line for line in printed.splitlines() if line.startswith("cd "))
    assert run(tmp_path, "bash", "-c", f"{line} && pwd") == f"{location / 'Alpha'}\n"
    (tmp_path / "file").touch()
    for where in ("file", "file/below"):
        command = [sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / where)]
        shown = run(template, *command, code=2)
        assert shown.startswith(f"error: cannot create {tmp_path / where / 'Alpha'}: ")
    run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", "~/x", variables={"HOME": str(tmp_path)})
    assert (tmp_path / "x/Alpha").is_dir()


@pytest.mark.slow
def test_a_failed_start_removes_only_its_own_directories(template: Path, tmp_path: Path) -> None:
    (template / "project/core/files.py").write_text("def broken(:\n")
    (tmp_path / "bin").mkdir()
    real = run(template, "sh", "-c", "command -v git").strip()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\ntouch {tmp_path}/new/notes.txt 2>/dev/null\nexec {real} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    command = [sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "new/deep")]
    done = subprocess.run(command, cwd=template, env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, check=False)
    assert done.returncode == 2
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["notes.txt"]


@pytest.mark.slow
def test_links_binary_files_and_attributes(template: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_start_without_identity_and_with_failing_hooks(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    for hook in ("pre-commit", "commit-msg", "post-checkout"):
        (tmp_path / "hooks" / hook).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    settings = f"[core]\nhooksPath = {tmp_path}/hooks\nexcludesFile = {tmp_path}/ignored\n[commit]\ngpgSign=1\n"
    (tmp_path / ".gitconfig").write_text(settings)
    (tmp_path / "ignored").write_text("*.npz\n*.md\n")
    run(
        copy,
        sys.executable,
        START,
        "--proj_name",
        "Alpha",
        "--proj_loc",
        str(tmp_path),
        variables={"HOME": str(tmp_path)},
    )
    child = tmp_path / "Alpha"
    assert "Alpha/datasets/digits.npz" in git(child, "ls-files")
    assert "@" in git(child, "log", "-1", "--format=%ce")
    assert git(child, "status", "--porcelain") == ""


@pytest.mark.slow
def test_start_within_a_hook_of_another_repository(template: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "other")
    variables = {"GIT_DIR": str(tmp_path / "other/.git"), "GIT_INDEX_FILE": str(tmp_path / "other/index")}
    run(template, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path), variables=variables)
    assert git(tmp_path / "Alpha", "status", "--porcelain") == ""
    assert git(tmp_path / "other", "for-each-ref") == ""

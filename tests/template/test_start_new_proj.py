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
from new_project.names import LONGEST, advice
from new_project.render import Renaming

RENAMING = Renaming("project", "Alpha", {"core", "models", "registry", "registry.py", "load"})
LONG = "A_very_long_name_of_a_project_1"


@pytest.mark.parametrize(
    ("suffix", "before", "after"),
    [
        (".py", "from project.models.mlp import MLP", "from Alpha.models.mlp import MLP"),
        (".py", "from project import load", "from Alpha import load"),
        (".py", "import project\n", "import Alpha\n"),
        (".py", "import project.core.fetch", "import Alpha.core.fetch"),
        (".py", 'patch("project.core.main.x", project.load(1))', 'patch("Alpha.core.main.x", Alpha.load(1))'),
        (".py", 'NAMESPACE = "project_ops"', 'NAMESPACE = "Alpha_ops"'),
        (".py", '"import torch\\nfrom project.someroom import X"', '"import torch\\nfrom Alpha.someroom import X"'),
        (".py", 'wandb.init(project="project", name=run.project.name)', None),
        (".py", "# a project. It imports nothing of this project, of project_owner or my.project.core", None),
        (".py", 'ROOT / "project" / "models"', None),
        (".yaml", "logger: {type: WandbLogger, project: project}", None),
        (".yaml", "net: {type: project.models.mlp.MLP}", "net: {type: Alpha.models.mlp.MLP}"),
        (".yaml", "path: project.yaml  # of the project/team", None),
        (".yaml", "path: ../project/models", "path: ../Alpha/models"),
        (".sh", "python -m project.core.main --project x", "python -m Alpha.core.main --project x"),
        (".toml", '[project]\nname = "project"', '[project]\nname = "Alpha"'),
        (".toml", '[project.scripts]\nx = "project.core.main:main"', '[project.scripts]\nx = "Alpha.core.main:main"'),
        (".toml", 'packages = ["project", "ops"]', 'packages = ["Alpha", "ops"]'),
        (".toml", '"share/project/configs"  # not the project', '"share/Alpha/configs"  # not the project'),
        (".md", "`project/models`, [core](project/core) mirror `project`", None),
        (".md", "A project of your own; org/my-project/core and project/roadmap", None),
        (".md", "--proj_name Lamp\ncd ../Lamp, a Lampshade", "--proj_name Alpha\ncd ../Alpha, a Lampshade"),
    ],
)  # fmt: skip
def test_the_package_is_renamed_where_it_is_meant(suffix: str, before: str, after: str | None) -> None:
    if before.startswith("`project/models`"):
        after = "`Alpha/models`, [core](Alpha/core) mirror `Alpha`"
    assert RENAMING.text(before, suffix) == (before if after is None else after)
    assert RENAMING.path(Path("project/core/x.py")) == Path("Alpha/core/x.py")


def test_a_project_is_whole(copy: Path, tmp_path: Path) -> None:
    printed = run(copy, sys.executable, START, "--proj_name", "Alpha", "--proj_loc", str(tmp_path / "new/place"))
    child = tmp_path / "new/place/Alpha"
    assert printed == (
        f"{child} is ready. Next, in an environment of your choice:\n\n"
        f"cd {child}\npip install -c constraints.txt -e '.[dev]'\npython cli.py fit --config configs/digits.yaml\n"
    )
    assert git(child, "status", "--porcelain", "--ignored") == ""
    assert git(child, "log", "--format=%D %s", "--all") == (
        f"HEAD -> main, template Begin Alpha from the template at {git(copy, 'rev-parse', 'HEAD')[:10]}"
    )
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
    left_out = {name for name in before if name.startswith("tests/template/")} | {"CHANGELOG.md", ".ci/template"}
    renamed = {re.sub("^project/", "Alpha/", name) for name in before - left_out - {"tests/slurm/test_page.py"}}
    assert after == renamed | {".template.toml"}
    assert (child / ".ci/run").stat().st_mode & 0o111
    assert (child / "README.md").read_text().startswith("# Alpha\n")
    pyproject = tomllib.loads((child / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == "Alpha"
    assert pyproject["tool"]["mypy"]["files"] == ["Alpha", "ops", "cli.py"]
    assert (child / "Alpha/datasets/digits.npz").read_bytes() == (copy / "project/datasets/digits.npz").read_bytes()
    code = "".join(path.read_text() for path in child.rglob("*.py") if "scripts/new_project" not in str(path))
    assert not re.search(r"(from|import) project\b|\bproject\.(core|registry)|\bproject_ops|project/core", code)


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
        ("", "'' cannot be imported: a name has letters, digits and underscores, first a letter, such as MyProject"),
        ("my-project", "'my-project' cannot be imported: * such as MyProject"),
        ("my project", "'my project' cannot be imported: * such as MyProject"),
        ("3d", "'3d' cannot be imported: * such as d"),
        ("_x", "'_x' cannot be imported: *"),
        ("../x", "'../x' cannot be imported: *"),
        ("Größe", "'Größe' cannot be imported: *"),
        (f"{LONG}2", f"'{LONG}2' has 32 characters; at most 31"),
        ("class", "'class' is a keyword of Python: choose another name, such as ClassProject"),
        ("json", "'json' is a module of Python's own: choose another name, such as JsonProject"),
        ("torch", "'torch' is a package that is installed or needed: *"),
        ("Torch", "'Torch' is a package that is installed or needed: *"),
        ("Pytorch_Lightning", "'Pytorch_Lightning' is a package that is installed or needed: *"),
        ("ops", "'ops' is taken by a folder or file of the template itself: choose another name"),
        ("Tests", "'Tests' is taken by a folder or file of the template itself: choose another name"),
        ("project", "'project' is taken by a folder or file of the template itself: choose another name"),
        ("There", "*/There is there already: choose another name or another folder"),
    ],
)
def test_names_that_cannot_be(copy: Path, tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "There").mkdir()
    shown = run(copy, sys.executable, START, "--proj_name", name, "--proj_loc", str(tmp_path), code=2)
    assert re.fullmatch("error: " + ".*".join(map(re.escape, says.split("*"))) + "\n", shown), shown
    assert [path.name for path in tmp_path.iterdir()] == ["There"]


def test_what_reads_better() -> None:
    assert advice("MyProject") == ""
    assert advice("my_project") == "my_project is fine; a class-like name such as MyProject is what readers expect\n"


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
    assert shown.startswith("error: ruff ")
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
    assert shown.startswith("error: git ")
    assert "not a git repository" in shown


def test_a_project_of_a_project(copy: Path, tmp_path: Path) -> None:
    alpha = start(copy, tmp_path, "Alpha")
    (alpha / "Alpha/models/own.py").write_text("from Alpha.models.base import Model\n\n__all__ = ['Model']\n")
    commit(alpha, "Own")
    beta = start(alpha, tmp_path, "Beta")
    assert "from Beta.models.base" in (beta / "Beta/models/own.py").read_text()
    assert not list(beta.glob("Alpha"))
    assert tomllib.loads((beta / ".template.toml").read_text())["template"] == str(alpha)

"""The wheel has all that a run needs, and is used in a directory of its own, without the checkout."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from project.registry import Registry

ROOT = Path(__file__).parent.parent
PACKAGE = str(Registry.__module__).partition(".")[0]
OWN = "base: default.yaml\ntrainer: {max_epochs: 1}\n"
# Prints what a yaml file of the user's own is merged from, where it was imported from, and what job.sh would start.
CODE = f"""
from pathlib import Path
from {PACKAGE}.core import installation
from {PACKAGE}.core.config.yaml_files import read_config
tree = read_config(Path("own.yaml"))
print(tree["trainer"]["max_epochs"], "checkpoint" in tree)
print(installation.find_shared("scripts/slurm.sh"))
print(installation.start_word(Path.cwd()))
read_config(Path("default.yaml"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory in which pip has installed the wheel, and nothing that it requires."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *options, str(wheel)], check=True, capture_output=True
    )
    return target


def run(installed: Path, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a directory, with the installed wheel in place of the checkout."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def test_wheel_contains_code_data_and_yaml(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packaged = {
        path.relative_to(ROOT).as_posix()
        for package in (PACKAGE, "ops")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith((f"{PACKAGE}/", "ops/"))} == packaged
    assert {f"{PACKAGE}/py.typed", "ops/csrc/cpu/ssim.cpp", "ops/py.typed"} <= packaged
    yaml = {path.name for path in (ROOT / "configs").rglob("*.yaml")}
    assert {Path(name).name for name in names if name.endswith(".yaml")} == yaml >= {"default.yaml", "debug.yaml"}
    assert not [name for name in names if name.startswith("tests/")]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_finds_what_lies_outside_the_package(installed: Path, tmp_path: Path) -> None:
    """A base that is not beside the yaml is the installed one; a missing config names the installed one."""
    (tmp_path / "own.yaml").write_text(OWN, encoding="utf-8")
    done = run(installed, tmp_path, "-c", CODE)
    share = installed / "share" / PACKAGE
    assert done.stdout.splitlines() == ["1 True", str(share / "scripts/slurm.sh"), f"-m{PACKAGE}"]
    assert done.stderr.splitlines()[-2:] == [
        f"{PACKAGE}.core.errors.ConfigError: config file default.yaml does not exist",
        f"the installed one is {share / 'configs/default.yaml'}",
    ]


def test_console_command_and_module_are_the_command_line(installed: Path, tmp_path: Path) -> None:
    """Both start without torch, and answer as cli.py does."""
    (script,) = [path for path in (installed / "bin").iterdir() if path.name == PACKAGE]
    answers = [run(installed, tmp_path, *start, "table", "nothing") for start in ([str(script)], ["-m", PACKAGE])]
    answers.append(run(installed, tmp_path, str(ROOT / "cli.py"), "table", "nothing"))
    assert {(done.returncode, done.stdout, done.stderr) for done in answers} == {
        (2, "", "error: nothing does not exist\n")
    }
    usage = run(installed, tmp_path, "-m", PACKAGE, "table", "--help").stdout
    assert usage.startswith(f"usage: {PACKAGE} table ")


def test_messages_name_the_command_that_there_is() -> None:
    """`python cli.py` is written only in docstrings, and where completion is told apart; else it is COMMAND."""
    found = set()
    for file in (ROOT / PACKAGE).rglob("*.py"):
        code = file.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(code))) if "python cli.py" in code else []
        docstrings = [node.value for node in nodes if isinstance(node, ast.Expr)]
        texts = [str(node.value) for node in nodes if isinstance(node, ast.Constant) and node not in docstrings]
        if any("python cli.py" in text for text in texts):
            found.add(file.relative_to(ROOT / PACKAGE).as_posix())
    assert found == {"core/installation.py", "editor/shells.py"}


@pytest.mark.slow
def test_run_of_the_installed_wheel_repeats_itself(installed: Path, tmp_path: Path) -> None:
    """It trains in an empty directory, without a checkout, records nothing false, and its job.sh trains it again."""
    pytest.importorskip(f"{PACKAGE}.datasets.digits")  # a project may have deleted the examples
    share = installed / "share" / PACKAGE
    options = ["--config", str(share / "configs/digits.yaml"), "--trainer.max_epochs", "1"]
    done = run(installed, tmp_path, "-m", PACKAGE, "fit", *options)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    job = tmp_path / "experiments/digits/job.sh"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(installed), "PATH": path}
    subprocess.run(["bash", str(job)], env=environment, cwd="/", check=True, capture_output=True)
    both = [tmp_path / "experiments" / name / "states.jsonl" for name in ("digits", "digits_rerun")]
    assert both[0].read_text(encoding="utf-8") == both[1].read_text(encoding="utf-8")

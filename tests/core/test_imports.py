"""The packages of the engine import only those above them, and components only what their owner sees."""

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import project

PACKAGE = Path(project.__file__).parent
# As listed in project/core/__init__.py. Modules of one line may not import each other.
ORDER = (
    *(
        "core.installation",
        "deploy",
        "deploy.demo",
        "deploy.server",
        "core.console",
        "core.errors",
        "core.file_names",
        "core.files",
        "core.garbage",
        "core.log",
        "core.writable",
    ),
    *("core.digest_file", "core.tensorboard", "core.csv_logger", "core.trackers"),
    *("core.importing", "core.training.lightning_internals", "core.functions", "registry"),
    *("core.config", "core.distributed", "core.data", "core.model", "core.training", "core.evaluation"),
    *("core.run", "core.export", "study", "study.table", "study.report", "core.cli", "study.sweep", "study.find"),
    *("study.replay", "study.bisect", "study.verify", "study.golden"),
    *("editor", "commands", "__main__"),
)
COMPONENTS = ("models", "losses", "metrics", "datasets", "transforms", "visuals", "callbacks", "modules")
TESTS = Path(__file__).parent.parent
EXAMPLES = [TESTS / name for name in ("modules/mean_teacher.py", "datasets/balanced.py")]


@cache
def imports(file: Path) -> list[str]:
    """Return the modules of this package that a file imports, without the name of the package."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += (name.partition(".")[2] for name in names if name.startswith(f"{PACKAGE.name}."))
    return found


def rank(module: str) -> int | None:
    """Return the position of a module's package in ORDER; the longest name that fits counts."""
    fitting = [name for name in ORDER if module == name or module.startswith(f"{name}.")]
    return ORDER.index(max(fitting, key=len)) if fitting else None


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if rank(module_name(file)) is not None]


@pytest.mark.parametrize("file", FILES, ids=[module_name(file) for file in FILES])
def test_a_package_imports_only_those_above_it(file: Path) -> None:
    own = rank(module_name(file))
    assert own is not None
    below = {name for name in imports(file) if (other := rank(name)) is not None and other > own}
    assert below == set()


@pytest.mark.parametrize(
    "package",
    [
        *("core.config", "core.distributed", "core.data", "core.model", "core.training", "core.evaluation"),
        *("core.run", "core.export", "deploy", "deploy.demo", "deploy.server"),
        *("study", "study.table", "study.report", "study.sweep", "study.find"),
        *("study.replay", "study.bisect", "study.verify", "study.golden", "editor"),
    ],
)
def test_docstring_of_a_package_lists_what_it_imports(package: str) -> None:
    files = [file for file in FILES if rank(module_name(file)) == ORDER.index(package)]
    ranks = {rank(name) for file in files for name in imports(file)} - {None, ORDER.index(package)}
    sentence = re.search(r"^Imports (.*?)\.\s", str(import_module(f"{PACKAGE.name}.{package}").__doc__), re.M | re.S)
    assert sentence is not None
    imported = {ORDER[other].removeprefix("core.") for other in ranks if other is not None}
    assert set(re.findall("`(.*?)`", sentence[1])) == imported


def test_modules_that_windows_lacks_are_imported_where_they_are_used() -> None:
    """Other parts of the engine work there."""
    lacking = {"fcntl", "grp", "pwd", "resource", "termios"}
    found = []
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
        found += [(module_name(file), name) for name in names if name in lacking]
    assert found == []


def test_lightning_internals_import_only_errors() -> None:
    package = "core.training.lightning_internals"
    imported = {name for file in FILES if module_name(file).startswith(package) for name in imports(file)}
    assert {name for name in imported if not name.startswith((package, "core.errors"))} == set()


def test_engine_tests_import_no_example_components() -> None:
    """A project that has deleted its examples keeps these tests; docs/new_project.md lists those of examples."""
    examples = tuple(f"{package}." for package in COMPONENTS if package not in ("callbacks", "modules"))
    files = [file for name in ("core", "study", "golden", "deploy", "ops") for file in (TESTS / name).rglob("*.py")]
    found = {
        file.relative_to(TESTS).as_posix()
        for file in files
        for name in imports(file)
        if name.startswith(examples) and name.split(".")[1] != "base"
    }
    assert found <= {"deploy/demo/test_digits.py", "deploy/server/test_same_numbers.py"}


@pytest.mark.parametrize("package", COMPONENTS)
def test_components_import_only_their_package_the_registry_and_ops(package: str) -> None:
    """Exceptions: datasets apply transforms and describe raw inputs; modules/base.py offers the engine's classes.

    Examples in the tests, which the README tells to follow, are checked as well.
    """
    allowed = (package, "registry", *(["transforms.base", "deploy"] if package == "datasets" else []))
    assert (PACKAGE / package / "__init__.py").exists()
    examples = [file for file in EXAMPLES if file.parent.name == package]
    for file in [*(PACKAGE / package).rglob("*.py"), *examples]:
        other = {name for name in imports(file) if not name.startswith(allowed)}
        assert not other or file == PACKAGE / "modules/base.py", (file, other)


def test_every_module_of_the_engine_is_in_a_package_of_the_order() -> None:
    modules = {module_name(file) for file in (PACKAGE / "core").rglob("*.py")}
    assert {name for name in modules if rank(name) is None} == {"core"}

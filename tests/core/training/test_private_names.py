"""Private names of libraries are used only in lightning_internals, and all of them are listed there."""

import ast
import inspect
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import project
from project.core.training.lightning_internals.names import PRIVATE_NAMES

LIBRARIES = ("pytorch_lightning", "lightning_fabric", "torchmetrics", "jsonargparse")
PROJECT = Path(project.__file__).parent
INTERNALS = PROJECT / "core/training/lightning_internals"
LISTED = {part for names in PRIVATE_NAMES.values() for name in names for part in name.replace(":", ".").split(".")}
ALLOWED = {"_build", "_exit"}  # a module of ops/; a public function of os
ACCESSORS = ("getattr", "setattr", "hasattr", "delattr", "attrgetter", "getattr_static")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


class PrivateNameFinder(ast.NodeVisitor):
    """Finder of the private names that a module uses and that neither it nor its classes define.

    Args:
        members: private names that each class of the project defines, by the name of the class, with those of its
            bases.
    """

    def __init__(self, members: dict[str, set[str]]) -> None:
        self.members = members
        self.found: list[tuple[int, str]] = []  # line and name
        self._classes: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._classes.append(node.name)
        self.generic_visit(node)
        self._classes.pop()

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self._check_import(node, f"{node.module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._check_access(node, node.value, node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            self._check_access(node, node, node.slice.value)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        owner = node.args[0] if node.args else node
        for argument in node.args if function in ACCESSORS else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                self._check_access(node, owner, argument.value)
        self.generic_visit(node)

    def _check_import(self, node: ast.AST, path: str) -> None:
        library, *parts = path.split(".")
        if library in LIBRARIES:
            self._add(node, (part for part in parts if is_private(part)))

    def _check_access(self, node: ast.AST, owner: ast.AST, path: str) -> None:
        own = self.members[self._classes[-1]] if self._classes and _is_self(owner) else set()
        self._add(node, (part for part in path.split(".") if is_private(part) and part not in own))

    def _add(self, node: ast.AST, names: Iterable[str]) -> None:
        self.found += [(getattr(node, "lineno", 0), name) for name in names]


def _is_self(node: ast.AST) -> bool:
    is_super = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    return is_super or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def class_members(trees: list[ast.Module]) -> dict[str, set[str]]:
    """Return the private names that each class defines, itself or in a base class of the project."""
    members: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        defined = {inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)}
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and _is_self(inner.value):
                defined.add(inner.attr)
        for inner in node.body:
            targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
        members.setdefault(node.name, set()).update(defined)
        names = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        bases.setdefault(node.name, []).extend(getattr(base, "attr", getattr(base, "id", "")) for base in names)

    def with_bases(name: str) -> set[str]:
        return members.get(name, set()).union(*(with_bases(base) for base in bases.get(name, []) if base != name))

    return {name: with_bases(name) for name in members}


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def parse(files: Iterable[Path]) -> dict[Path, ast.Module]:
    return {file: parsed(file) for file in files}


def find_private_names(tree: ast.Module, members: dict[str, set[str]]) -> list[tuple[int, str]]:
    finder = PrivateNameFinder(members)
    finder.visit(tree)
    return finder.found


def overridden_names(file: Path, tree: ast.Module, members: dict[str, set[str]]) -> set[str]:
    """Return the private members of a module's classes that also occur in their bases of the libraries."""
    module = import_module(".".join(file.relative_to(PROJECT.parent).with_suffix("").parts).removesuffix(".__init__"))
    names = set()
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        bases = [base for base in getattr(module, node.name).__mro__ if base.__module__.startswith(LIBRARIES)]
        text = "".join(inspect.getsource(base) for base in bases)
        names |= {name for name in members[node.name] if is_private(name) and re.search(rf"(\.|def ){name}\b", text)}
    return names


def test_private_names_are_used_only_in_lightning_internals() -> None:
    trees = parse(file for file in PROJECT.rglob("*.py") if INTERNALS not in file.parents)
    assert len(trees) > 50
    members = class_members([*trees.values()])
    uses = [
        f"{file.relative_to(PROJECT)}:{line} {name}"
        for file, tree in trees.items()
        for line, name in find_private_names(tree, members)
        if name not in ALLOWED
    ]
    assert uses == []


def test_classes_of_the_engine_outside_lightning_internals_override_no_private_name() -> None:
    trees = parse(file for file in PROJECT.glob("core/**/*.py") if INTERNALS not in file.parents)
    members = class_members([*trees.values()])
    overridden = {str(file.relative_to(PROJECT)): overridden_names(file, tree, members) for file, tree in trees.items()}
    assert {file: names for file, names in overridden.items() if names} == {}


def test_all_private_names_of_lightning_internals_are_listed() -> None:
    trees = parse(INTERNALS.glob("*.py"))
    members = class_members([*trees.values()])
    used = {name for tree in trees.values() for _, name in find_private_names(tree, members)}
    used |= {name for file, tree in trees.items() for name in overridden_names(file, tree, members)}
    assert used == {name for name in LISTED if is_private(name)}


@pytest.mark.parametrize(
    "line",
    [
        "trainer._logger_connector.log_metrics(values)",
        "trainer.strategy._timeout = timeout",
        "timeout = getattr(trainer.strategy, '_timeout', None)",
        "defaults = metric._defaults.items()",
        "batch = module._on_before_batch_transfer(batch)",
        "return self.trainer.fit_loop._should_accumulate()",
        "self._current_fx_name = None if self._mine else self._current_fx_name.strip()",
        "super()._should_check_val_epoch()",
        "vars(module)['_current_fx_name'] = 'training_step'",
        "from jsonargparse._parameter_resolvers import get_signature_parameters",
        "from pytorch_lightning.loops.fit_loop import _FitLoop",
        "import lightning_fabric.utilities._private",
        "done = attrgetter('fit_loop._restarting')(trainer)",
    ],
)
def test_use_of_a_private_name_is_found(line: str) -> None:
    """The uses are those that the engine once had outside lightning_internals, and other forms."""
    tree = ast.parse(f"class A(Callback):\n    def f(self):\n        self._mine = self._mine or None\n        {line}\n")
    found = find_private_names(tree, class_members([tree]) | {"A": {"_mine"}})
    assert {number for number, _ in found} == {4}
    assert "_mine" not in {name for _, name in found}

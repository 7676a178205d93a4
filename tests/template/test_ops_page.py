"""Tests of docs/ops.md: commands and snippets run, excerpts are in the sources, and "Add an op" adds an operation."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops import _build
from ops.__main__ import main
from tests.conftest import slow_except
from tests.template.conftest import ROOT, run

GUIDE = (ROOT / "docs/ops.md").read_text()
FENCES = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.M | re.S)
ADD_AN_OP = re.findall(
    r"^```(\w*)\n(.*?)^```$", GUIDE.partition("\n## Add an op\n")[2].partition("\n## ")[0], re.M | re.S
)
COMMANDS = [line for fence in FENCES if fence[0] == "bash" and fence not in ADD_AN_OP for line in fence[1].splitlines()]
CPP = [text for kind, text in FENCES if kind in ("cpp", "cuda")]
PROGRAMS = [text for text in CPP if "int main()" in text]
EXCERPTS = [part for text in CPP if text not in PROGRAMS for part in text.split("\n\n")]
COMPILER = os.environ.get("CXX", "c++")
needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"there is no C++ compiler ({COMPILER})")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

# Checks the third operation after the steps of the page, in a new process.
CHECK = """
import sys
from pathlib import Path
import torch
import ops
from ops import _build
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

assert Path(ops.__file__).parent.parent == Path.cwd()
x, y = (torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
for one, other in ((x, y), (x.T, y.T), (x[::2, 1:], y[1:4, :3])):
    assert torch.equal(ops.mul_matrix(one, other), one * other)
    assert torch.equal(ops.MulMatrix()(one.half(), other.half()), one.half() * other.half())
    assert gradcheck(ops.mul_matrix, (one, other))
assert gradcheck(ops.mul_matrix, (x, y.detach()))
assert gradgradcheck(ops.mul_matrix, (x, y))
assert torch.equal(ops.add_matrix(x, y), x + y)
operation = getattr(torch.ops, _build.NAMESPACE).mul_matrix.default
opcheck(operation, (x, y))
built = torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CPU")
assert built == (sys.argv[1] == "native"), built
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the files that the commands need to a directory."""
    without = shutil.ignore_patterns("__pycache__")
    for name in ("ops", "benchmarks", "scripts", "tests/ops"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=without)
    (tmp_path / "tests/__init__.py").touch()
    return tmp_path


def stripped(text: str) -> str:
    """Remove indentation."""
    return "\n".join(["", *(line.strip() for line in text.strip().splitlines()), ""])


def follow(folder: Path) -> None:
    """Follow the steps of the page, which add the third operation."""
    for kind, text in ADD_AN_OP:
        assert kind in ("bash", "diff")
        if kind == "bash":
            run(folder, "bash", "-euc", text)
            continue
        for part in re.split(r"^--- ", text, flags=re.M)[1:]:
            name, _, hunks = part.partition("\n")
            for hunk in hunks.split("@@\n"):
                change(folder / name, hunk.removesuffix("\n").split("\n"))


def change(file: Path, hunk: list[str]) -> None:
    """Apply a hunk of a diff; its lines with - must occur exactly once."""
    before = "\n".join(line[1:] for line in hunk if line[0] in " -")
    after = "\n".join(line[1:] for line in hunk if line[0] in " +")
    text = file.read_text()
    assert text.count(before) == 1, f"{file.name} has {text.count(before)} times: {before}"
    file.write_text(text.replace(before, after))


def test_every_code_block_is_tested() -> None:
    assert {kind for kind, _ in FENCES} == {"bash", "cpp", "cuda", "diff", "python"}
    assert GUIDE.count("\n```") == 2 * len(FENCES)
    assert {kind for kind, _ in FENCES if kind == "diff"} == {kind for kind, _ in ADD_AN_OP if kind == "diff"}
    assert len(ADD_AN_OP) >= 2
    assert PROGRAMS
    assert len(EXCERPTS) > 5


def test_named_files_exist() -> None:
    names = set(re.findall(r"`((?:ops|tests|configs|project|benchmarks|scripts)/[\w./]+)`", GUIDE))
    assert len(names) > 10
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_excerpt_is_in_a_source(excerpt: str) -> None:
    sources = [path for path in _build.SOURCES.rglob("*.*") if path.suffix in (".cpp", ".cu", ".cuh", ".h")]
    assert any(stripped(excerpt) in stripped(path.read_text()) for path in sources)


def test_inline_code_is_in_a_source() -> None:
    known = "".join(path.read_text() for path in [*_build.SOURCES.rglob("*.*"), *(ROOT / "ops").glob("*.py")])
    for code in ("const Centre<T> centre = in.centre;", "HeaderOnlyGenericPackedTensorAccessor", "def _refuse("):
        assert code in known
    assert all(f"def {name}(" in known for name in ("_reference", "_fake", "_backward", "add_matrix"))


@needs_compiler
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("right", slow_except([True, False], False))
def test_program_for_the_emulator_runs(program: str, right: bool, tmp_path: Path) -> None:
    """It exits with 0, but not with the error that its comment warns of."""
    line = next(line for line in program.splitlines() if "miss the barriers" in line)
    wrong = program.replace(line, f"if (i >= count) return;\n{line}")
    (tmp_path / "program.cpp").write_text(program if right else wrong)
    command = [COMPILER, "-std=c++20", "-Wall", "-Werror", f"-I{ROOT}", "program.cpp", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (subprocess.run([tmp_path / "program"], check=False).returncode == 0) == right


@needs_compiler
@needs_bash
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs(command: str, copy: Path) -> None:
    measures = "benchmarks" in command
    printed = run(copy, "bash", "-euc", f"{command} --rounds 1" if measures else command)
    assert ("forward and backward" if measures else "CPU        built: ") in printed or command.endswith("info")
    assert ("--out build" in command) == (copy / f"build/{_build.NAMESPACE}.so").is_file()


@pytest.mark.slow
@needs_compiler
def test_python_snippets_run(copy: Path) -> None:
    """Runs all snippets in one process; loading a copy needs no compiler."""
    assert main(["build", "--out", str(copy / "build")]) == 0
    snippets = [text for kind, text in FENCES if kind == "python"]
    loads = [text for text in snippets if "load_library" in text]
    assert len(loads) == 1
    run(copy, sys.executable, "-c", "\n".join(snippets))
    alone = f"import torch, ops\n{loads[0]}\nassert ops.ssim(*torch.rand(2, 1, 1, 16, 16)).shape == (1, 1, 6, 6)"
    run(copy, sys.executable, "-W", "error:ops", "-c", alone, variables={"CXX": "no-compiler", "OPS": "native"})


@needs_bash
@pytest.mark.parametrize("mode", ["reference", pytest.param("native", marks=needs_compiler)])
@pytest.mark.slow
def test_steps_add_an_operation(mode: str, copy: Path) -> None:
    follow(copy)
    for command in (["check"], ["format", "--check"]):
        run(copy, sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), "ops", "tests")
    variables = {"OPS": mode, "TORCH_EXTENSIONS_DIR": str(copy / "extensions")}
    run(copy, sys.executable, "-c", CHECK, mode, variables=variables)
    assert (copy / "extensions").exists() == (mode == "native")
    if mode == "native":
        (command,) = re.findall(r"`python (-m pytest \S+)`", GUIDE)
        assert "passed" in run(copy, sys.executable, *command.split(), "-p", "no:cacheprovider", variables=variables)


@needs_bash
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler (nvcc)")
@pytest.mark.slow
def test_added_kernels_are_compiled_by_nvcc(copy: Path) -> None:
    from torch.utils.cpp_extension import include_paths

    follow(copy)
    flags = [f"-I{path}" for path in include_paths()] + [flag for flag in _build._FLAGS if flag.startswith("-D")]
    run(copy, "nvcc", "-c", "-std=c++20", *flags, copy / "ops/csrc/cuda/mul_matrix.cu", "-o", copy / "object.o")

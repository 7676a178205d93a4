"""Kernels are built once, whoever comes first and whatever happens to it; without a compiler the reference works."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ops import _build
from tests.conftest import CONFIGS

ROOT = CONFIGS.parent
USE = """
import torch, ops
from ops import _build, _registry
x = torch.rand(1, 1, 12, 12)
print(ops.ssim(x, x).mean().item())
kernel = torch._C._dispatch_has_kernel_for_dispatch_key(f"{_registry.NAMESPACE}::ssim", "CPU")
print("native" if kernel else "reference")
"""


def start(cache: Path, *argv: str, **variables: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "OPS"}
    environment = inherited | {"TORCH_EXTENSIONS_DIR": str(cache), "PYTHONPATH": str(ROOT)} | variables
    command = [sys.executable, *(argv or ("-c", USE))]
    return subprocess.Popen(
        command, cwd=cache, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    shown = process.communicate(timeout=100)
    assert process.returncode == code, shown
    return shown


def test_there_are_kernels_to_test() -> None:
    """Otherwise the other tests of operations compare the reference with itself."""
    if shutil.which(os.environ.get("CXX", "c++")) is None or _build.mode() == "reference":
        pytest.skip("there is no C++ compiler, or the variable OPS is 'reference'")
    _build.load("CPU")
    for name in ("add_matrix", "ssim", "ssim_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"{_build.NAMESPACE}::{name}", "CPU")


@pytest.mark.slow
def test_four_at_once_and_a_kill_while_it_is_built(tmp_path: Path) -> None:
    killed = start(tmp_path)
    while killed.poll() is None and not list(tmp_path.rglob("build.ninja")):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not list(tmp_path.rglob("*.so"))
    for process in [start(tmp_path) for _ in range(4)]:
        assert finish(process)[0] == "1.0\nnative\n"
    (file,) = [path for path in tmp_path.rglob("*.so") if path.parent.name == _build.NAMESPACE]
    built = file.stat().st_mtime_ns
    assert finish(start(tmp_path))[0] == "1.0\nnative\n"
    assert file.stat().st_mtime_ns == built
    assert finish(start(tmp_path, CXX="no-such-compiler"))[0] == "1.0\nnative\n"  # a node that lacks what others have
    out, _ = finish(start(tmp_path, "-m", "ops", "info"))
    assert f"CPU        built: {file}\n" in out
    finish(start(tmp_path, "-m", "ops", "build", "--out", str(tmp_path / "out")))
    assert (tmp_path / "out" / f"{_build.NAMESPACE}.so").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_without_a_compiler(tmp_path: Path) -> None:
    """One warning that says why, or an error where the native kernels are asked for."""
    out, err = finish(start(tmp_path, CXX="no-such-compiler"))
    assert out == "1.0\nreference\n"
    assert err.count("there is no C++ compiler (no-such-compiler)") == 1
    assert "bash scripts/install_ops.sh" in err
    _, err = finish(start(tmp_path, CXX="no-such-compiler", OPS="native"), code=1)
    assert "RuntimeError: there is no C++ compiler (no-such-compiler)" in err
    out, _ = finish(start(tmp_path, "-m", "ops", "info", CXX="no-such-compiler"))
    assert "CPU        no: there is no C++ compiler (no-such-compiler)" in out
    _, err = finish(start(tmp_path, "-m", "ops", "build", CXX="no-such-compiler"), code=1)
    assert err == "error: there is no C++ compiler (no-such-compiler)\n"


@pytest.mark.slow
def test_a_compiler_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = tmp_path / "c++"
    failing.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo fake 1.0 && exit\necho no such luck: error: at all >&2\nexit 1\n'
    )
    failing.chmod(0o755)
    out, err = finish(start(tmp_path, CXX=str(failing)))
    assert (out, err.count("no such luck: error: at all")) == ("1.0\nreference\n", 1)
    _, err = finish(start(tmp_path, CXX=str(failing), OPS="native"), code=1)
    assert "no such luck" in err


def test_the_mode(tmp_path: Path) -> None:
    out, err = finish(start(tmp_path, OPS="reference"))
    assert (out, err) == ("1.0\nreference\n", "")
    _, err = finish(start(tmp_path, OPS="fast"), code=1)
    assert "the variable OPS is 'fast'; known: auto, native, reference" in err
    _, err = finish(start(tmp_path, "-m", "ops", "info", OPS="fast"), code=1)
    assert err == "error: the variable OPS is 'fast'; known: auto, native, reference\n"


def test_two_projects_in_one_process(tmp_path: Path) -> None:
    """Their packages have names of their own, and so have their operations."""
    for name in ("one", "two"):
        for path in (ROOT / "ops").rglob("*"):
            if path.is_file() and path.suffix in (".py", ".h", ".cpp"):
                target = tmp_path / name / path.relative_to(ROOT / "ops")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(path.read_text().replace(_build.NAMESPACE, f"{name}_ops"))
    use = (
        "import torch, one, two\nx = torch.rand(2, 3)\nassert torch.equal(one.add_matrix(x, x), two.add_matrix(x, x))\n"
    )
    out, err = finish(
        start(tmp_path, "-c", use + "print(torch.ops.one_ops.ssim, torch.ops.two_ops.ssim)", OPS="reference")
    )
    assert (out, err) == ("one_ops.ssim two_ops.ssim\n", "")

"""Tests that kernels are built exactly once, and that the reference works without a compiler."""

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
from ops.__main__ import main
from tests.conftest import CONFIGS

ROOT = CONFIGS.parent
USE = """
import torch, ops
from ops import _build, _registry
x = torch.rand(1, 1, 12, 12)
print(round(ops.ssim(x, x).mean().item(), 5))
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
    shown = process.communicate(timeout=300)
    assert process.returncode == code, shown
    return shown


def test_kernels_are_built() -> None:
    """Without kernels, the other tests would compare the reference with itself."""
    if shutil.which(os.environ.get("CXX", "c++")) is None or _build.mode() == "reference":
        pytest.skip("there is no C++ compiler, or the environment variable OPS is 'reference'")
    _build.load("CPU")
    for name in ("add_matrix", "ssim", "ssim_backward"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"{_build.NAMESPACE}::{name}", "CPU")


@pytest.mark.slow
def test_four_concurrent_builds_after_a_killed_one(tmp_path: Path) -> None:
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
    assert finish(start(tmp_path, CXX="no-such-compiler"))[0] == "1.0\nnative\n"  # a node without compiler
    out, _ = finish(start(tmp_path, "-m", "ops", "info"))
    assert f"CPU        built: {file}\n" in out
    finish(start(tmp_path, "-m", "ops", "build", "--out", str(tmp_path / "out")))
    assert (tmp_path / "out" / f"{_build.NAMESPACE}.so").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_without_a_compiler_the_reference_is_used(tmp_path: Path) -> None:
    """There is one warning with the reason, or an error if OPS=native."""
    out, err = finish(start(tmp_path, CXX="no-such-compiler"))
    assert out == "1.0\nreference\n"
    assert err.count("there is no C++ compiler (no-such-compiler)") == 1
    assert "bash scripts/install_ops.sh" in err
    _, err = finish(start(tmp_path, CXX="no-such-compiler", OPS="native"), code=1)
    assert "RuntimeError: there is no C++ compiler (no-such-compiler)" in err
    out, _ = finish(start(tmp_path, "-m", "ops", "info", CXX="no-such-compiler"))
    assert "CPU        unavailable: there is no C++ compiler (no-such-compiler)" in out
    _, err = finish(start(tmp_path, "-m", "ops", "build", CXX="no-such-compiler"), code=1)
    assert err == "error: there is no C++ compiler (no-such-compiler)\n"


@pytest.mark.slow
def test_warning_quotes_a_failing_compiler(tmp_path: Path) -> None:
    failing = tmp_path / "c++"
    failing.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo fake 1.0 && exit\necho no such luck: error: at all >&2\nexit 1\n'
    )
    failing.chmod(0o755)
    out, err = finish(start(tmp_path, CXX=str(failing)))
    assert (out, err.count("no such luck: error: at all")) == ("1.0\nreference\n", 1)
    _, err = finish(start(tmp_path, CXX=str(failing), OPS="native"), code=1)
    assert "no such luck" in err


def test_ops_variable_selects_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = finish(start(tmp_path, OPS="reference"))
    assert (out, err) == ("1.0\nreference\n", "")
    monkeypatch.setenv("OPS", "fast")
    message = "the environment variable OPS is 'fast'; known: auto, native, reference"
    with pytest.raises(ValueError, match=message):
        _build.load.__wrapped__("CPU")  # `load` itself is cached
    assert main(["info"]) == 1
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.slow
def test_two_projects_work_in_one_process(tmp_path: Path) -> None:
    """Each project has its own package and its own namespace of operations."""
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

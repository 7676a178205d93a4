"""Build of the C++ and CUDA sources in csrc/, once per machine."""

import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from filelock import FileLock

NAMESPACE = "project_ops"  # namespace in torch.ops; each project has its own
SOURCES = Path(__file__).parent / "csrc"
_ABI = "0x020a000000000000"  # stable ABI of torch 2.10, which later versions support
_CUDA_FLAGS = ["-O3", f"-DTORCH_TARGET_VERSION={_ABI}", f"-DOPS_NS={NAMESPACE}"]
_FLAGS = [*_CUDA_FLAGS, "-fno-math-errno", "-fno-trapping-math"]
MODES = ("auto", "native", "reference")


def mode() -> str:
    """Return the environment variable OPS: if the build fails, `auto` uses the reference and `native` raises."""
    chosen = os.environ.get("OPS", "auto")
    if chosen not in MODES:
        raise ValueError(f"the environment variable OPS is {chosen!r}; known: {', '.join(MODES)}")
    return chosen


@functools.cache
def load(device: str) -> None:
    """Load the kernels of a device, after building them if needed; warn once if that fails.

    Args:
        device: CPU or CUDA.

    Raises:
        RuntimeError: the kernels cannot be built and the environment variable OPS is `native`.
    """
    if mode() == "reference":
        return
    try:
        if device == "CUDA" and not has_cuda():
            raise RuntimeError("there is no CUDA compiler (nvcc)")
        file, loaded = build(cuda=device == "CUDA")
        if not loaded:
            torch.ops.load_library(file)
    except (RuntimeError, OSError, ValueError) as error:
        if mode() == "native":
            raise
        if _is_first_on_node():
            warnings.warn(
                f"ops: no {device} kernels on {platform.node()}, using slower torch operations: {_first_error(error)} "
                f"(`bash scripts/install_ops.sh` builds the kernels or shows the whole error)",
                stacklevel=2,
            )


def build(cuda: bool) -> tuple[Path, bool]:
    """Build the kernels unless they are built.

    One process builds at a time, in a temporary directory; the complete file is then moved to its path.

    Args:
        cuda: whether to build the kernels for CUDA, or those for the CPU.

    Returns:
        The built file, and whether it was built (and thereby loaded) by this call.

    Raises:
        RuntimeError: there is no compiler, or it fails; the message contains its output.
    """
    target = library_path(cuda)
    if target.exists():
        return target, False
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.exists():  # built by another process in the meantime
            return target, False
        from torch.utils import cpp_extension

        with TemporaryDirectory(dir=target.parent) as folder, _scripts_on_path():
            cpp_extension.load(
                NAMESPACE,
                [str(path) for path in _sources(cuda)],
                extra_cflags=_FLAGS,
                extra_cuda_cflags=_CUDA_FLAGS,
                build_directory=folder,
                with_cuda=cuda,
                is_python_module=False,
            )
            (built,) = Path(folder).glob("*.so")  # torch numbers the names of further builds in a process
            built.replace(target)
    return target, True


def library_path(cuda: bool) -> Path:
    """Return the path of the built file; its name is a hash of sources, flags and compiler.

    Without a compiler, return the newest file built from the same sources: a cluster node may lack the compiler.

    Raises:
        RuntimeError: there is neither a compiler nor such a file.
    """
    parts = [platform.machine(), *_FLAGS]
    if cuda:
        arch = os.environ.get("TORCH_CUDA_ARCH_LIST") or str(torch.cuda.get_device_capability())
        parts += [str(torch.version.cuda), arch]
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in sorted(SOURCES.rglob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    root = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache/torch_extensions"
    folder, name = Path(root) / NAMESPACE, digest.hexdigest()[:20]
    try:
        return folder / f"{name}.{hashlib.sha256(compiler().encode()).hexdigest()[:8]}.so"
    except RuntimeError:
        built = sorted(folder.glob(f"{name}.*.so"), key=lambda path: path.stat().st_mtime)
        if not built:
            raise
        return built[-1]


def compiler() -> str:
    """Return the version of the C++ compiler.

    Raises:
        RuntimeError: there is no compiler.
    """
    name = os.environ.get("CXX", "c++")
    if shutil.which(name) is None:
        raise RuntimeError(f"there is no C++ compiler ({name})")
    asked = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise RuntimeError(f"the C++ compiler ({name}) fails to print its version")
    return asked.stdout.partition("\n")[0]


def has_cuda() -> bool:
    """Return whether there is a GPU that torch can use, and nvcc."""
    if not torch.cuda.is_available() or torch.version.cuda is None:
        return False
    from torch.utils.cpp_extension import CUDA_HOME

    return CUDA_HOME is not None and (Path(CUDA_HOME) / "bin/nvcc").exists()


def _sources(cuda: bool) -> list[Path]:
    return sorted((SOURCES / "cuda").glob("*.cu") if cuda else (SOURCES / "cpu").glob("*.cpp"))


@contextmanager
def _scripts_on_path() -> Iterator[None]:
    """Add the scripts of this Python to PATH: torch calls ninja by name."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _is_first_on_node() -> bool:
    """Return whether this is the first process of a run on its node."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_LOCALID"))


def _first_error(error: BaseException) -> str:
    """Return the first line with a compiler error, or the first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line.strip() for line in lines if "error:" in line), lines[0])

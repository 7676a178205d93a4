"""Builds the C++ and CUDA sources in csrc/ once for a machine, and loads what was built."""

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

NAMESPACE = "project_ops"  # of torch.ops; each project has its own
SOURCES = Path(__file__).parent / "csrc"
_ABI = "0x020a000000000000"  # of torch 2.10: what is built runs with that and all later ones
_CUDA_FLAGS = ["-O3", f"-DTORCH_TARGET_VERSION={_ABI}", f"-DOPS_NS={NAMESPACE}"]
_FLAGS = [*_CUDA_FLAGS, "-fno-math-errno", "-fno-trapping-math"]
MODES = ("auto", "native", "reference")


def mode() -> str:
    """What the variable OPS says: `auto` takes the reference where nothing can be built, `native` fails there."""
    chosen = os.environ.get("OPS", "auto")
    if chosen not in MODES:
        raise ValueError(f"the variable OPS is {chosen!r}; known: {', '.join(MODES)}")
    return chosen


@functools.cache
def load(device: str) -> None:
    """Builds the kernels where they are not yet built, and loads them; says once why it cannot.

    Args:
        device: CPU or CUDA.

    Raises:
        RuntimeError: the variable OPS is `native`, and they cannot be built.
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
        if _speaks():
            warnings.warn(
                f"ops: {platform.node()} has no kernels for {device}; torch's own operations take over, slower: "
                f"{_gist(error)} (`bash scripts/install_ops.sh` builds them, or says all)",
                stacklevel=2,
            )


def build(cuda: bool) -> tuple[Path, bool]:
    """The built file, and whether it had to be built, which loads it, too.

    It is built in a folder of its own and moved to its place when it is whole, by one process at a time.

    Args:
        cuda: the kernels for CUDA, not those for the CPU.

    Raises:
        RuntimeError: there is no compiler, or it fails; with its output.
    """
    target = file_of(cuda)
    if target.exists():
        return target, False
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if target.exists():  # another process was faster
            return target, False
        from torch.utils import cpp_extension

        with TemporaryDirectory(dir=target.parent) as folder, _programs_of_this_python():
            cpp_extension.load(
                NAMESPACE,
                [str(path) for path in _sources(cuda)],
                extra_cflags=_FLAGS,
                extra_cuda_cflags=_CUDA_FLAGS,
                build_directory=folder,
                with_cuda=cuda,
                is_python_module=False,
            )
            (built,) = Path(folder).glob("*.so")  # a second one in a process gets another name
            built.replace(target)
    return target, True


def file_of(cuda: bool) -> Path:
    """Where the built file lies: its name stands for all that it depends on.

    Without a compiler it is the newest of the same sources: a node of a cluster may lack what the others have.

    Raises:
        RuntimeError: there is neither.
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
    """Version of the C++ compiler.

    Raises:
        RuntimeError: there is none.
    """
    name = os.environ.get("CXX", "c++")
    if shutil.which(name) is None:
        raise RuntimeError(f"there is no C++ compiler ({name})")
    asked = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise RuntimeError(f"the C++ compiler ({name}) does not even tell its version")
    return asked.stdout.partition("\n")[0]


def has_cuda() -> bool:
    """Whether there is a GPU that torch can use, and a compiler for it."""
    if not torch.cuda.is_available() or torch.version.cuda is None:
        return False
    from torch.utils.cpp_extension import CUDA_HOME

    return CUDA_HOME is not None and (Path(CUDA_HOME) / "bin/nvcc").exists()


def _sources(cuda: bool) -> list[Path]:
    return sorted((SOURCES / "cuda").glob("*.cu") if cuda else (SOURCES / "cpu").glob("*.cpp"))


@contextmanager
def _programs_of_this_python() -> Iterator[None]:
    """ninja is found, also where Python is called by its path."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{sysconfig.get_path('scripts')}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _speaks() -> bool:
    """Whether this is the process that speaks for all of its machine."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_LOCALID"))


def _gist(error: BaseException) -> str:
    """The compiler's first complaint, or the first line of what is wrong."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line.strip() for line in lines if "error:" in line), lines[0])

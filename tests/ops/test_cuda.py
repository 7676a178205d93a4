"""Tests of the CUDA kernels: emulated on the CPU, compiled by nvcc, and on a GPU if there is one."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.cpp_extension import include_paths

import ops
from ops import _build

HERE = Path(__file__).parent
CONSTANTS = (1e-4, 9e-4)  # c1 and c2
NATIVE = getattr(torch.ops, _build.NAMESPACE)
BOUNDS = {torch.float64: 1e-9, torch.float32: 2e-5}  # relative to the largest value
GPU = torch.cuda.is_available()

# Shapes of pictures and sizes of windows: smaller and larger than a tile, odd, and a window as large as the picture.
# Loops are unrolled for size 11.
PICTURES = [((2, 1, 11, 11), 11), ((1, 3, 23, 51), 11), ((1, 1, 45, 75), 11), ((3, 2, 21, 30), 5), ((1, 1, 33, 35), 33)]
needs_gpu = pytest.mark.skipif(not GPU, reason="there is no GPU")
needs_nm = pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="there is no CUDA compiler (nvcc)")


def headers() -> list[str]:
    return [f"-I{path}" for path in include_paths()] + [flag for flag in _build._FLAGS if flag.startswith("-D")]


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Compile the emulated kernels."""
    compiler, file = os.environ.get("CXX", "c++"), tmp_path_factory.mktemp("emulated") / "emulated.so"
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no C++ compiler ({compiler})")
    if sys.platform != "linux":
        pytest.skip("the emulator needs Linux")
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", *headers()]
    subprocess.run([compiler, *flags, HERE / "emulated.cpp", "-o", file], check=True)
    return ctypes.CDLL(str(file))


@pytest.fixture(scope="module", autouse=True)
def native() -> None:
    """Load the CPU kernels, if they can be built, as the reference."""
    ops.load("CPU")


def call(library: ctypes.CDLL, name: str, *args: Tensor | list[int] | int | float | None) -> None:
    """Call a C function, with tensors and lists as pointers and None as a null pointer."""
    given: list[Any] = []
    for value in args:
        if isinstance(value, Tensor):
            given.append(ctypes.c_void_p(value.data_ptr()))
        elif isinstance(value, list):
            given.append((ctypes.c_int64 * len(value))(*value))
        elif isinstance(value, float):
            given.append(ctypes.c_double(value))
        else:
            given.append(None if value is None else ctypes.c_int64(value))
    function = getattr(library, name)
    function.restype = ctypes.c_bool
    assert function(*given), f"{name}: threads of one block did not meet at a barrier"


def suffix(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def error(one: Tensor, two: Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    assert one.shape == two.shape
    assert one.isfinite().all()
    return float((one - two.to(one)).abs().max() / two.abs().max().clamp(min=1e-3))


def pair(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return two correlated pictures."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    return x.to(dtype), (0.5 * x + 0.5 * y).to(dtype)


def unwritten(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return an output of NaN, which shows elements that a kernel does not write."""
    return torch.full(shape, torch.nan, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 13), (33, 5)])
def test_sum_of_matrices_emulated(emulated: ctypes.CDLL, shape: tuple[int, int], dtype: torch.dtype) -> None:
    x, y = pair(shape, dtype)
    found = unwritten(shape, dtype)
    call(emulated, f"add_matrix_{suffix(x)}", x, y, found, list(shape), None)
    assert torch.equal(found, NATIVE.add_matrix(x, y))


@pytest.mark.parametrize(
    "view", [lambda x: x, lambda x: x.T, lambda x: x[::2, 1:], lambda x: x[:1].expand(5, -1)], ids="ctse"
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_sum_of_matrices_of_any_strides_emulated(
    emulated: ctypes.CDLL, view: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    x, y = (view(matrix) for matrix in pair((9, 14), dtype))
    y = y.contiguous()
    found = unwritten(tuple(x.shape), dtype)
    strides = [*x.stride(), *y.stride(), *found.stride()]
    call(emulated, f"add_matrix_{suffix(x)}", x, y, found, list(x.shape), strides)
    assert torch.equal(found, NATIVE.add_matrix(x, y))


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize(("shape", "size"), PICTURES)
@pytest.mark.parametrize("save", [0, 3])
def test_ssim_emulated(emulated: ctypes.CDLL, shape: tuple[int, ...], size: int, save: int, dtype: torch.dtype) -> None:
    x, y = pair(shape, dtype)
    expected, expected_saved = NATIVE.ssim(x.double(), y.double(), size, 1.5, *CONSTANTS, save)
    found, saved = unwritten(tuple(expected.shape), dtype), unwritten(tuple(expected_saved.shape), dtype)
    pointers = x, y, found, saved if save else None
    call(emulated, f"ssim_{suffix(x)}", *pointers, list(shape), size, 1.5, *CONSTANTS)
    assert error(found, expected) < BOUNDS[dtype]
    for map, expected_map in zip(saved, expected_saved, strict=True):
        assert error(map, expected_map) < BOUNDS[dtype]


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "full": lambda grad: grad,
    "expanded": lambda grad: grad[:1, :1, :1, :1].expand_as(grad),
    "transposed": lambda grad: grad.mT.contiguous().mT,
    "of rows": lambda grad: grad[..., :1].expand_as(grad),
    "of channels": lambda grad: grad.contiguous(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize(("shape", "size"), PICTURES)
@pytest.mark.parametrize(
    ("save", "kind"), [(1, "full"), (2, "transposed"), (3, "expanded"), (3, "of rows"), (3, "of channels")]
)
def test_gradients_of_ssim_emulated(
    emulated: ctypes.CDLL, shape: tuple[int, ...], size: int, save: int, kind: str, dtype: torch.dtype
) -> None:
    x, y = pair(shape, dtype)
    settings = (size, 1.5, *CONSTANTS)
    value, saved = NATIVE.ssim(x, y, *settings, save)
    grad = GRADIENTS[kind](pair(tuple(value.shape), dtype, seed=1)[0] - 0.3)
    exact = (tensor.double() for tensor in (grad, x, y, saved))
    expected = NATIVE.ssim_backward(*exact, *settings, save)
    found = [unwritten(shape, dtype) if save & bit else None for bit in (1, 2)]
    call(emulated, f"ssim_backward_{suffix(x)}", grad, list(grad.stride()), x, y, saved, *found, list(shape), *settings)
    for one, two in zip(found, expected, strict=True):
        assert (one is None) == (two.numel() == 0)
        assert one is None or error(one, two) < BOUNDS[dtype]


def assert_stable(file: Path, *flags: str) -> None:
    """Check that a library uses only the stable ABI of torch."""
    undefined = subprocess.run(["nm", "-C", "-u", *flags, file], capture_output=True, text=True, check=True).stdout
    assert "aoti_torch" in undefined
    assert not re.findall(r"\b(?:c10|at)::.*", undefined)


@pytest.mark.slow
@needs_nvcc
@needs_nm
@pytest.mark.parametrize("name", ["add_matrix", "ssim"])
def test_nvcc_compiles_without_spills(name: str, tmp_path: Path) -> None:
    flags = ["-c", "-std=c++20", "-O3", "-arch=sm_80", "-Xptxas", "-v", *headers()]
    command = ["nvcc", *flags, str(_build.SOURCES / f"cuda/{name}.cu"), "-o", str(tmp_path / "object")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    spilled = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(spilled) == {"add_matrix": 8, "ssim": 12}[name]
    assert set(spilled) == {("0", "0")}
    assert_stable(tmp_path / "object")


@needs_nm
def test_the_library_uses_only_the_stable_abi() -> None:
    try:
        file = _build.library_path(_build.has_cuda())
    except RuntimeError as missing:
        pytest.skip(str(missing))
    if not file.exists():
        pytest.skip(f"nothing was built: the environment variable OPS is {_build.mode()}")
    assert_stable(file, "-D")


def run_ssim(device: str, dtype: torch.dtype, shape: tuple[int, ...], size: int) -> list[Tensor]:
    """Compute the map and both gradients on a device, and return them on the CPU."""
    x, y = (tensor.to(device).requires_grad_() for tensor in pair(shape, dtype))
    value = ops.ssim(x, y, size=size)
    weights = pair(tuple(value.shape), dtype, seed=1)[0].to(device)
    return [tensor.detach().cpu() for tensor in (value, *torch.autograd.grad((value * weights).sum(), (x, y)))]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize(("shape", "size"), [*PICTURES, ((70000, 1, 11, 11), 11)])
def test_ssim_on_a_gpu(shape: tuple[int, ...], size: int, dtype: torch.dtype) -> None:
    ops.load("CUDA")
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"{_build.NAMESPACE}::ssim", "CUDA")
    for one, two in zip(*(run_ssim(device, dtype, shape, size) for device in ("cuda", "cpu")), strict=True):
        assert error(one, two) < BOUNDS[dtype]


@pytest.mark.gpu
@needs_gpu
def test_gradcheck_on_a_gpu() -> None:
    x, y = (tensor.cuda().requires_grad_() for tensor in pair((1, 2, 13, 14), torch.float64))
    assert torch.autograd.gradcheck(ops.ssim, (x, y))
    matrices = [tensor.cuda().requires_grad_() for tensor in pair((4, 5), torch.float64)]
    assert torch.autograd.gradcheck(ops.add_matrix, matrices)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_sum_of_matrices_on_a_gpu(dtype: torch.dtype) -> None:
    for shape in ((0, 3), (7, 13), (1000, 999)):
        x, y = (tensor.cuda() for tensor in pair(shape, dtype))
        assert torch.equal(ops.add_matrix(x, y), x + y)
        assert torch.equal(ops.add_matrix(x.T, y.T.contiguous()), (x + y).T)


@pytest.mark.gpu
@needs_gpu
def test_kernels_run_on_the_current_stream() -> None:
    """Kernels run after earlier and before later work on the same stream."""
    x, y = (tensor.cuda() for tensor in pair((4, 3, 200, 300), torch.float32))
    expected = ops.ssim(x, y)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.zeros_like(x)
        torch.cuda._sleep(100_000_000)
        late.copy_(x)
        found = ops.ssim(late, y).clone()
        late.zero_()
    torch.cuda.synchronize()
    assert torch.equal(found, expected)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_kernels_run_on_the_device_of_their_inputs() -> None:
    results = (run_ssim(device, torch.float32, (2, 3, 40, 50), 11) for device in ("cuda:1", "cuda:0"))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
    x, y = (tensor.to("cuda:1") for tensor in pair((70, 30), torch.float32))
    assert torch.equal(ops.add_matrix(x, y), x + y)

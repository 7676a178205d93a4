"""The numerics fingerprint: machines and settings that have the same one compute training steps with the same bits.

Names of processors do not tell that: other instruction sets, numbers of threads and libraries round sums differently,
and some do not.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.adamw import adamw

from project.core.files import write_text

_CPU_INFO = Path("/proc/cpuinfo")
# What differs between the cores of a processor, or changes while it runs.
_PER_CORE = re.compile(r"processor|cpu MHz|bogomips|.*apicid|.*core id|physical id|siblings|cpu cores", re.IGNORECASE)
# Variables that change numbers or the device that computes them; names of secrets are left out.
_VARIABLES = re.compile(
    r"(ATEN|CUBLAS|CUDA|CUDNN|DNNL|GOMP|HIP|KMP|MIOPEN|MKL|NCCL|OMP|ONEDNN|OPENBLAS|PYTORCH|TORCH|TORCHINDUCTOR)_\w+"
    r"|NVIDIA_TF32_OVERRIDE|PYTHONHASHSEED"
)
_SECRET = re.compile(r"KEY|PASS|SECRET|TOKEN", re.IGNORECASE)
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_MAX_CACHED = 2**16  # bytes of a cached file that are read
# Few and small, since threads wait for each other in each operation: for long, on a machine that others use as well.
# Of convolutions: channels in and out, pixels, samples, and whether norms and a transposed convolution follow.
_SIZES = ((3, 16, 16, 4, True), (64, 64, 7, 2, False))
_SHAPES = ((33, 100, 10), (128, 512, 256))  # of linear layers: samples, features in and out
_SUMMED = 2**17  # numbers, whose sum several threads share


def numerics_fingerprint(device: torch.device) -> str:
    """Return 16 hexadecimal digits that tell with which bits a device computes, with the settings of this process.

    Computed in less than a second, and then read from a file in the user's cache directory, as long as no package,
    variable or setting changes by which the bits could change. On GPUs, only deterministic kernels are tried.

    Args:
        device: a CPU or a GPU.

    Example::

        numerics_fingerprint(torch.device("cpu"))  # "5f0d3c2b1a493827"
    """
    settings = _settings(device)
    key = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()
    directory = _cache_directory()
    if directory is None:
        return compute_fingerprint(device)
    file = directory / f"{key}.json"
    cached = _read_cached(file, settings)
    if cached is not None:
        return cached
    fingerprint = compute_fingerprint(device)
    with suppress(OSError):  # a full disk, or no home: the next run computes it again
        write_text(file, f"{json.dumps({'fingerprint': fingerprint, 'settings': settings}, indent=2)}\n")
    return fingerprint


def compute_fingerprint(device: torch.device) -> str:
    """Return the fingerprint of a device, without the cache; no state of torch is different after it."""
    digest = hashlib.blake2b(digest_size=8)
    with _plain_state(device):
        for tensor in _compute(device):
            digest.update(tensor.detach().reshape(-1).contiguous().cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@cache
def read_processor() -> Mapping[str, str]:
    """Return what Linux says of the first processor, without what differs between its cores; empty elsewhere."""
    facts: dict[str, str] = {}
    if not _CPU_INFO.is_file():
        return facts
    with _CPU_INFO.open(encoding="utf-8", errors="replace") as file:
        for line in file:  # of the first processor: a machine with hundreds writes a long file, slowly
            name, _, value = line.partition(":")
            if not name.strip():
                break
            if not _PER_CORE.fullmatch(name.strip()):
                facts[name.strip()] = value.strip()
    return facts


def numeric_variables() -> dict[str, str]:
    """Return the environment variables that change numbers, or the device that computes them."""
    return {
        name: os.environ[name] for name in sorted(os.environ) if _VARIABLES.fullmatch(name) and not _SECRET.search(name)
    }


def _settings(device: torch.device) -> dict[str, Any]:
    """Return everything by which the fingerprint may change, as far as it is known without computing."""
    backends: Any = torch.backends
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    settings: dict[str, Any] = {
        "code": _code_digest(),
        "device": device.type,
        "torch": [str(torch.__version__), hashlib.blake2b(torch.__config__.show().encode()).hexdigest()],
        "processor": read_processor() or [platform.machine(), platform.processor()],
        "capability": backends.cpu.get_cpu_capability(),
        "processors": [os.cpu_count(), len(affinity(0)) if affinity else None],
        "threads": torch.get_num_threads(),
        "variables": numeric_variables() | {"LD_PRELOAD": os.environ.get("LD_PRELOAD")},
        "default_dtype": str(torch.get_default_dtype()),
        "deterministic": [torch.are_deterministic_algorithms_enabled(), backends.mkldnn.deterministic],
        "mkldnn": backends.mkldnn.enabled,
        "precision": [backends.mkldnn.matmul.fp32_precision, backends.mkldnn.conv.fp32_precision],
    }
    if device.type == "cuda":
        matmul = backends.cuda.matmul
        settings["gpu"] = [torch.cuda.get_device_name(device), *torch.cuda.get_device_capability(device)]
        settings["libraries"] = [torch.version.cuda, torch.version.hip, backends.cudnn.version()]
        settings["gpu_precision"] = [matmul.fp32_precision, backends.cudnn.conv.fp32_precision]
        settings["reduction"] = [
            matmul.allow_fp16_reduced_precision_reduction,
            matmul.allow_bf16_reduced_precision_reduction,
        ]
        settings["cudnn"] = backends.cudnn.enabled
    return settings


@cache
def _code_digest() -> str:
    return hashlib.blake2b(Path(__file__).read_bytes(), digest_size=8).hexdigest()


def _cache_directory() -> Path | None:
    """Return the directory of the cached fingerprints of a user; None if there is none."""
    package = __name__.partition(".")[0]
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError:  # a user without a home
        return None
    return home / package / "numerics"


def _read_cached(file: Path, settings: dict[str, Any]) -> str | None:
    """Return the cached fingerprint of these settings; None if there is none, or the file is damaged."""
    try:
        with file.open(encoding="utf-8") as opened:
            content = json.loads(opened.read(_MAX_CACHED))
        found = content["fingerprint"] if content["settings"] == settings else ""
        return found if _FINGERPRINT.fullmatch(found) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


@contextmanager
def _plain_state(device: torch.device) -> Iterator[None]:
    """Compute gradients, in the types of the tensors, and on GPUs by deterministic kernels."""
    cudnn: Any = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    kernels = [SDPBackend.MATH] if device.type == "cuda" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    try:
        cudnn.deterministic, cudnn.benchmark = True, False
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
            sdpa_kernel(kernels),
        ):
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def _compute(device: torch.device) -> Iterator[Tensor]:
    """Yield the results of the operations that most nets are trained with, forward and backward."""
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
        return drawn.to(device).requires_grad_()

    for channels, filters, pixels, samples, is_followed in _SIZES:
        x, kernel, scale = draw(samples, channels, pixels, pixels), draw(filters, channels, 3, 3), draw(filters)
        y = F.conv2d(x, kernel, scale, padding=1)
        if is_followed:
            y = F.gelu(F.batch_norm(y, None, None, scale, scale, training=True))
            y = F.group_norm(F.conv_transpose2d(y, kernel, stride=2), 1)
        yield from (y, *torch.autograd.grad(y.sigmoid().square().mean(), (x, kernel, scale)))
    for samples, features, classes in _SHAPES:
        x, weight, bias = draw(samples, features), draw(classes, features), draw(classes)
        targets = torch.arange(samples, device=device) % classes
        loss = F.cross_entropy(F.linear(x, weight, bias), targets, label_smoothing=0.1)
        yield from (loss, *torch.autograd.grad(loss, (x, weight, bias)))
    x, scale = draw(2, 4, 32, 48), draw(48)
    y = F.layer_norm(F.scaled_dot_product_attention(x, x, x), (48,), scale, scale).softmax(-1)
    yield from (y, *torch.autograd.grad((y.log() * torch.sigmoid(x)).sum(), (x, scale)))
    many = draw(_SUMMED).detach()
    yield from (many.sum(), many.norm(), x.exp(), torch.tanh(x), x.std(), x * 1e-38)  # the last one is denormal
    yield x[0, 0].bfloat16() @ x[0, 1].bfloat16().T
    for fused in (False, True):
        yield _optimize(draw(10_000).detach(), fused)


def _optimize(parameter: Tensor, fused: bool) -> Tensor:
    """Return a parameter after three steps of AdamW, by its function: of an optimizer, hooks of others could see."""
    moments = torch.zeros_like(parameter), torch.zeros_like(parameter)
    step = torch.zeros((), device=parameter.device if fused else "cpu", dtype=torch.float32)
    for _ in range(3):
        adamw(
            [parameter],
            [parameter.sin()],
            [moments[0]],
            [moments[1]],
            [],
            [step],
            foreach=False,
            fused=fused,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=1e-3,
            weight_decay=1e-2,
            eps=1e-8,
            maximize=False,
        )
    return parameter

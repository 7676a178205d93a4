"""Speed of the operations: medians in milliseconds, and how many times as long alternatives take.

python -m benchmarks.ops --threads 1 --rounds 7
"""

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

import ops
from benchmarks.common import alternate, arguments, report
from ops.ssim import reference

SHAPES = ((1, 3, 512, 512), (8, 3, 256, 256))
SETTINGS = (11, 1.5, 0.01**2, 0.03**2, 0)


def in_torch(x: Tensor, y: Tensor) -> Tensor:
    """Compute SSIM in torch operations, with torch's own gradients."""
    return reference(x, y, *SETTINGS)[0]


def of_torchmetrics(x: Tensor, y: Tensor) -> Tensor:
    value = structural_similarity_index_measure(x, y, data_range=1.0)
    assert isinstance(value, Tensor)
    return value


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return medians in milliseconds; the first round builds and compiles."""

    def timed(call: Callable[[], object]) -> list[float]:
        start = time.perf_counter()
        call()
        return [1000 * (time.perf_counter() - start)]

    return alternate({name: partial(timed, call) for name, call in calls.items()}, rounds)


def ssim(shape: tuple[int, ...], rounds: int) -> None:
    x, y = torch.rand(shape), torch.rand(shape)
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "ops": ops.ssim,
        "torch": in_torch,
        "compiled": torch.compile(in_torch),
        "torchmetrics": of_torchmetrics,
    }
    leaf = x.clone().requires_grad_()

    def both(function: Callable[[Tensor, Tensor], Tensor]) -> None:
        leaf.grad = None
        function(leaf, y).mean().backward()

    for name, medians in {
        "forward": measure({key: partial(f, x, y) for key, f in functions.items()}, rounds),
        "forward and backward": measure({key: partial(both, f) for key, f in functions.items()}, rounds),
    }.items():
        times = "   ".join(f"{key} {value:.2f} ({value / medians['ops']:.1f}x)" for key, value in medians.items())
        report(f"ssim {shape}, {name}: {times}")


def add(side: int, rounds: int) -> None:
    x, y = torch.rand(side, side), torch.rand(side, side)
    medians = measure({"ops": lambda: ops.add_matrix(x, y), "torch": lambda: torch.add(x, y)}, rounds)
    report(
        f"add_matrix ({side}, {side}): {medians['ops']:.3f}, {medians['torch'] / medians['ops']:.2f} of torch's speed"
    )


def error() -> None:
    """Measure the largest difference from float64, on noise and on nearly constant pictures."""
    for name, spread in (("noise", 1.0), ("nearly constant", 1e-3)):
        x = 0.5 + spread * (torch.rand(2, 3, 128, 128) - 0.5)
        y = x + 0.1 * spread * torch.randn_like(x)
        report(f"error on {name}: {(ops.ssim(x, y) - ops.ssim(x.double(), y.double())).abs().max():.1e}")


if __name__ == "__main__":
    given = arguments(__doc__)
    for shape in SHAPES:
        ssim(shape, given.rounds)
    for side in (512, 4096):
        add(side, 10 * given.rounds)
    error()

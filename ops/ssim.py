"""Structural similarity of pictures; tensors for the gradients are saved only if gradients are needed."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.library import register_autocast, register_autograd
from torch.nn.functional import conv2d

from ._registry import LIBRARY, NAMESPACE, define

_SETTINGS = "int size, float sigma, float c1, float c2, int save"
_LARGEST = 33
Pair = tuple[Tensor, Tensor]


def reference(x: Tensor, y: Tensor, size: int, sigma: float, c1: float, c2: float, save: int) -> Pair:
    """Compute the map and the saved tensors in torch operations; csrc/ssim.h has the formulas."""
    centre_x, centre_y = _centre(x), _centre(y)
    s, d = (x - centre_x) + (y - centre_y), (x - centre_x) - (y - centre_y)
    weights = _window(x, size, sigma)
    blurred = _blur(torch.stack([s, d, s * s, d * d], 1).flatten(1, 2), weights)
    s, d, s2, d2 = blurred.unflatten(1, (4, x.shape[1])).unbind(1)
    ms, md, vs, vd = s + (centre_x + centre_y), d + (centre_x - centre_y), s2 - s * s, d2 - d * d
    a1, b1 = (ms * ms - md * md) / 2 + c1, (ms * ms + md * md) / 2 + c1
    a2, b2 = (vs - vd) / 2 + c2, (vs + vd) / 2 + c2
    inverse = 1 / (b1 * b2)
    value = a1 * a2 * inverse
    if not save:
        return value, value.new_empty((0, *value.shape))
    u, v, w, z = a1 * inverse, value * b1 * inverse, value * b2 * inverse, a2 * inverse
    return value, torch.stack([(u - v) / 2, -(u + v) / 2, ms * (z - w) - s * (u - v), d * (u + v) - md * (z + w)])


def reference_backward(
    grad: Tensor, x: Tensor, y: Tensor, saved: Tensor, size: int, sigma: float, c1: float, c2: float, save: int
) -> Pair:
    """Compute the gradients with respect to x (bit 1 of `save`) and y (bit 2); those not requested are empty."""
    cx, cy = x - _centre(x), y - _centre(y)
    maps = torch.nn.functional.pad(grad * saved, [size - 1] * 4)
    blurred = _blur(maps.transpose(0, 1).flatten(1, 2), _window(x, size, sigma))
    ps, pd, rs, rd = blurred.unflatten(1, (4, x.shape[1])).unbind(1)
    by_s, by_d = rs + 2 * (cx + cy) * ps, rd + 2 * (cx - cy) * pd
    none = x.new_empty(0)
    return by_s + by_d if save & 1 else none, by_s - by_d if save & 2 else none


def _window(x: Tensor, size: int, sigma: float) -> Tensor:
    weights = torch.exp(-0.5 * ((torch.arange(size, dtype=torch.float64, device=x.device) - size // 2) / sigma) ** 2)
    return (weights / weights.sum()).to(x.dtype)


def _blur(maps: Tensor, weights: Tensor) -> Tensor:
    """Blur the maps `(B, M, H, W)`, first along rows, then along columns."""
    groups = maps.shape[1]
    if groups == 0:
        return maps[..., len(weights) - 1 :, len(weights) - 1 :]
    across = conv2d(maps, weights.view(1, 1, 1, -1).expand(groups, 1, 1, -1), groups=groups)
    return conv2d(across, weights.view(1, 1, -1, 1).expand(groups, 1, -1, 1), groups=groups)


def _centre(x: Tensor) -> Tensor:
    """Estimate the mean of each plane from sixteen pixels, `(B, C, 1, 1)`."""
    picked = x.detach()
    for dimension in (2, 3):
        positions = [x.shape[dimension] * i // 8 for i in (1, 3, 5, 7)]
        picked = torch.cat([picked.narrow(dimension, position, 1) for position in positions], dimension)
    return picked.mean((2, 3), keepdim=True)


def _fake(x: Tensor, y: Tensor, size: int, sigma: float, c1: float, c2: float, save: int) -> Pair:
    shape = (x.shape[0], x.shape[1], x.shape[2] - size + 1, x.shape[3] - size + 1)
    return x.new_empty(shape), x.new_empty((4 if save else 0, *shape))


def _fake_backward(
    grad: Tensor, x: Tensor, y: Tensor, saved: Tensor, size: int, sigma: float, c1: float, c2: float, save: int
) -> Pair:
    return x.new_empty(x.shape if save & 1 else (0,)), x.new_empty(x.shape if save & 2 else (0,))


_SSIM = define(f"ssim(Tensor x, Tensor y, {_SETTINGS}) -> (Tensor, Tensor)", reference, _fake)
_BACKWARD = define(
    f"ssim_backward(Tensor grad, Tensor x, Tensor y, Tensor saved, {_SETTINGS}) -> (Tensor, Tensor)",
    reference_backward,
    _fake_backward,
)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
    x, y, *ctx.settings = inputs
    ctx.save_for_backward(x, y, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, y, saved = ctx.saved_tensors
    save = ctx.settings[-1]
    if any(needed and not save & 1 << i for i, needed in enumerate(ctx.needs_input_grad[:2])):
        raise RuntimeError("ssim was called or exported without saving the tensors for these gradients")
    by_x, by_y = _BACKWARD(grad, x, y, saved, *ctx.settings)
    return by_x if save & 1 else None, by_y if save & 2 else None, *[None] * len(ctx.settings)


def _refuse(ctx: Any, *grads: Tensor) -> None:
    # Without this, torch would treat the gradient as a constant.
    raise RuntimeError("ssim has no second derivatives")


register_autograd(f"{NAMESPACE}::ssim", _backward, setup_context=_keep, lib=LIBRARY)
register_autograd(f"{NAMESPACE}::ssim_backward", _refuse, lib=LIBRARY)
for _device in ("cpu", "cuda"):  # half precision is too coarse for sums of squares
    register_autocast(f"{NAMESPACE}::ssim", _device, torch.float32, lib=LIBRARY)


def ssim(
    x: Tensor,
    y: Tensor,
    data_range: float = 1.0,
    size: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> Tensor:
    """Compute the structural similarity of two pictures for each window, in [-1, 1].

    Wang et al., Image Quality Assessment: From Error Visibility to Structural Similarity, 2004. As there, windows lie
    inside the pictures; torchmetrics adds windows at the edges by mirroring. The mean over all windows is the
    similarity of the pictures. First derivatives with respect to both pictures are supported.

    Args:
        x: pictures `(B, C, H, W)`; half precision is computed in float32.
        y: pictures of the same shape.
        data_range: difference between the largest and the smallest possible value.
        size: height and width of the window in pixels, odd and at most 33.
        sigma: standard deviation of the Gaussian window, in pixels.
        k1: stabilizes the comparison of means.
        k2: stabilizes the comparison of variances.

    Returns:
        The similarity of each window, `(B, C, H - size + 1, W - size + 1)`.

    Raises:
        ValueError: shapes, dtypes, devices or settings are invalid, or the window is larger than the pictures.

    Example::

        loss = 1 - ops.ssim(x, y).mean()
        loss.backward()
    """
    _check(x, y, size, sigma)
    dtype = torch.promote_types(x.dtype, y.dtype)
    computed = torch.float64 if dtype is torch.float64 else torch.float32
    x, y = x.to(computed), y.to(computed)
    save = int(x.requires_grad) + 2 * int(y.requires_grad) if torch.is_grad_enabled() else 0
    value: Tensor = _SSIM(x, y, size, sigma, (k1 * data_range) ** 2, (k2 * data_range) ** 2, save)[0]
    return value.to(dtype)


def _check(x: Tensor, y: Tensor, size: int, sigma: float) -> None:
    if x.ndim != 4 or x.shape != y.shape:
        raise ValueError(
            f"ssim takes two pictures (B, C, H, W) of the same shape, not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (x.is_floating_point() and y.is_floating_point()):
        raise ValueError(f"ssim takes two pictures of floating dtypes, not {x.dtype} and {y.dtype}")
    if x.device != y.device:
        raise ValueError(f"ssim takes two pictures on one device, not on {x.device} and {y.device}")
    if size % 2 == 0 or not 0 < size <= _LARGEST or not sigma > 0:
        raise ValueError(f"ssim: size ({size}) must be odd and at most {_LARGEST}, sigma ({sigma}) positive")
    if any(size > side for side in x.shape[2:]):  # min() of sizes would be a condition of the exported program
        raise ValueError(f"ssim: the window of {size} is larger than the pictures {tuple(x.shape)}")


class SSIM(nn.Module):
    """Structural similarity as a module; see `ssim`.

    Args:
        data_range: difference between the largest and the smallest possible value.
        size: height and width of the window in pixels, odd and at most 33.
        sigma: standard deviation of the Gaussian window, in pixels.
    """

    def __init__(self, data_range: float = 1.0, size: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        self.data_range, self.size, self.sigma = data_range, size, sigma

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Map pictures `(B, C, H, W)` to the similarity of their windows `(B, C, H - size + 1, W - size + 1)`."""
        return ssim(x, y, self.data_range, self.size, self.sigma)

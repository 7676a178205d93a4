from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.export import Dim
from torch.library import opcheck
from torch.utils.checkpoint import checkpoint
from torchmetrics.functional.image import structural_similarity_index_measure

import ops
from ops._registry import NAMESPACE
from ops.ssim import reference, reference_backward
from tests.conftest import slow_except

C = (0.01**2, 0.03**2)
FORWARD, BACKWARD = (getattr(getattr(torch.ops, NAMESPACE), name).default for name in ("ssim", "ssim_backward"))
SIZES = [(11, (11, 11)), (11, (12, 40)), (11, (37, 150)), (11, (64, 128)), (5, (5, 9)), (1, (3, 2)), (33, (40, 35))]


def pictures(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(shape, generator=generator, dtype=dtype)
    return x, (x + 0.3 * torch.randn(shape, generator=generator, dtype=dtype)).clamp(0, 1)


@pytest.mark.parametrize(("size", "area"), SIZES)
@pytest.mark.parametrize("save", [0, 1, 2, 3])
def test_kernel_and_reference_are_equal(size: int, area: tuple[int, int], save: int) -> None:
    x, y = pictures(2, 3, *area)
    settings = (size, 1.5, *C, save)
    native, plain = FORWARD(x, y, *settings), reference(x, y, *settings)
    assert [each.shape for each in native] == [each.shape for each in plain]
    for one, other in zip(native, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    if save:
        for grad in (torch.rand_like(native[0]), torch.tensor(0.7, dtype=x.dtype).expand_as(native[0])):
            gradients = [function(grad, x, y, native[1], *settings) for function in (BACKWARD, reference_backward)]
            for one, other in zip(*gradients, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_values_are_those_of_torchmetrics() -> None:
    x, y = pictures(2, 3, 40, 31)
    full = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)[1]
    torch.testing.assert_close(ops.ssim(x, y), full[..., 5:-5, 5:-5], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ops.ssim(255 * x, 255 * y, 255.0), ops.ssim(x, y), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ops.ssim(x, x), torch.ones(2, 3, 30, 21, dtype=torch.float64))
    torch.testing.assert_close(ops.SSIM(size=7)(x, y), ops.ssim(x, y, size=7), rtol=0, atol=0)


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3])
@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0])
def test_float32_is_precise_on_nearly_constant_pictures(spread: float, mean: float) -> None:
    x, y = (mean + spread * (each - 0.5) for each in pictures(2, 3, 64, 64, dtype=torch.float32))
    assert (ops.ssim(x, y) - ops.ssim(x.double(), y.double())).abs().max() < 2e-6
    exact, rough = (
        [x.to(dtype).requires_grad_(), y.to(dtype).requires_grad_()] for dtype in (torch.float64, torch.float32)
    )
    for one, other in (exact, rough):
        ops.ssim(one, other).mean().backward()
    for one, other in zip(exact, rough, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert (one.grad - other.grad).abs().max() < 1e-5 * one.grad.abs().max()


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("size", [5, 11])
def test_gradients_by_either_picture(size: int, wanted: tuple[bool, bool]) -> None:
    pair = [each.requires_grad_(want) for each, want in zip(pictures(1, 1, size + 1, size), wanted, strict=True)]
    assert gradcheck(lambda x, y: ops.ssim(x, y, size=size), pair)


def test_tensors_are_saved_only_if_gradients_are_needed() -> None:
    x, y = pictures(1, 1, 16, 16)
    packed: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ops.ssim(x, y)
        with torch.no_grad():
            ops.ssim(x.requires_grad_(), y)
        with torch.inference_mode():
            ops.ssim(x, y)
        assert packed == []
        ops.ssim(x, y).sum().backward()
    assert [tuple(tensor.shape) for tensor in packed] == [(1, 1, 16, 16), (1, 1, 16, 16), (4, 1, 1, 6, 6)]


def test_a_second_derivative_is_an_error() -> None:
    x, y = pictures(1, 1, 12, 12)
    (gradient,) = torch.autograd.grad(ops.ssim(x.requires_grad_(), y).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    "arrange",
    [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
        lambda x: torch.stack([x, x], -1)[..., 0],
    ],
)
def test_any_strides_give_the_same_values(arrange: Callable[[Tensor], Tensor]) -> None:
    x, y = pictures(2, 3, 20, 17)
    expected = ops.ssim(x, y)
    assert torch.equal(ops.ssim(arrange(x), y), expected)
    assert torch.equal(ops.ssim(arrange(x), arrange(y)), expected)
    one = x[:, :1].expand(-1, 3, -1, -1)
    assert torch.equal(ops.ssim(one, y), ops.ssim(one.contiguous(), y))


def test_gradients_may_have_any_strides() -> None:
    """A dimension of size 1 may have any stride, even 0."""
    x, y = (each.requires_grad_() for each in pictures(1, 1, 20, 11))
    grad = torch.rand(10, dtype=torch.float64)
    (expected,) = torch.autograd.grad(ops.ssim(x, y), x, grad.view(1, 1, 10, 1))
    for strides in ((0, 0, 1, 0), (10, 10, 1, 1), (0, 0, 1, 7)):
        (found,) = torch.autograd.grad(ops.ssim(x, y), x, grad.as_strided((1, 1, 10, 1), strides))
        assert torch.equal(found, expected)


def test_gradients_without_saved_tensors_are_an_error() -> None:
    x, y = (each.requires_grad_() for each in pictures(1, 1, 12, 12))
    value, _ = FORWARD(x, y, 11, 1.5, *C, 1)
    with pytest.raises(RuntimeError, match="without saving the tensors for these gradients"):
        value.sum().backward()


def test_sparse_tensors_are_an_error() -> None:
    x = torch.eye(3).to_sparse()
    with pytest.raises(NotImplementedError, match="dense tensors"):
        ops.add_matrix(x, x)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    x, y = pictures(1, 1, 300, 200, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            value = ops.ssim(leaf, y)
            value.mean().backward()
            results.append((value.detach(), leaf.grad))
    finally:
        torch.set_num_threads(before)
    for value, gradient in results[1:]:
        assert torch.equal(value, results[0][0])
        assert torch.equal(gradient, results[0][1])  # type: ignore[arg-type]


@pytest.mark.parametrize("save", slow_except([0, 1, 2, 3], 3))
def test_opcheck(save: int) -> None:
    x, y = pictures(1, 2, 14, 13)
    settings = (11, 1.5, *C, save)
    opcheck(FORWARD, (x, y, *settings))
    opcheck(FORWARD, (x.clone().requires_grad_(bool(save & 1)), y.clone().requires_grad_(bool(save & 2)), *settings))
    value, saved = FORWARD(x, y, *settings)
    if save:
        opcheck(BACKWARD, (torch.rand_like(value), x, y, saved, *settings))


@pytest.mark.slow
def test_compile_export_checkpoint_and_autocast() -> None:
    x, y = pictures(2, 3, 24, 24, dtype=torch.float32)
    leaf = x.clone().requires_grad_()
    ops.ssim(leaf, y).mean().backward()
    expected, gradient = ops.ssim(x, y), leaf.grad
    compiled = torch.compile(lambda a, b: ops.ssim(a, b).mean(), fullgraph=True, dynamic=True)
    for call in (compiled, lambda a, b: checkpoint(ops.ssim, a, b, use_reentrant=False).mean()):
        leaf.grad = None
        call(leaf, y).backward()
        torch.testing.assert_close(leaf.grad, gradient, rtol=1e-6, atol=1e-9)
    program = torch.export.export(ops.SSIM(), (x, y))
    assert torch.equal(program.module()(x, y), expected)
    plain: Any = program.run_decompositions(ops.DECOMPOSITIONS)
    assert NAMESPACE not in str(plain.graph)
    torch.testing.assert_close(plain.module()(x, y), expected, rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        value = ops.ssim(x.bfloat16(), y)
    torch.testing.assert_close(value, ops.ssim(x.bfloat16().float(), y))
    assert ops.ssim(x.half(), y.half()).dtype == torch.float16


@pytest.mark.slow
@pytest.mark.parametrize("operation", [ops.ssim, lambda x, y: ops.add_matrix(x.flatten(1), y.flatten(1))])
def test_exported_program_takes_pictures_of_any_size(operation: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Neither the checks of arguments nor the references fix the size, or that one side is the longer one."""

    class Net(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return operation(x, y)

    free = {0: Dim("batch", min=1), 2: Dim.AUTO, 3: Dim.AUTO}
    with torch.no_grad():
        x, y = pictures(2, 3, 24, 24, dtype=torch.float32)
        program = torch.export.export(Net(), (x, y), dynamic_shapes=(free, free), strict=False)
        module: Any = program.run_decompositions(ops.DECOMPOSITIONS).module()
        for height, width in ((24, 24), (12, 17), (40, 13)):
            x, y = pictures(1, 3, height, width, dtype=torch.float32)
            torch.testing.assert_close(module(x, y), operation(x, y), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3, 16, 16), (2, 0, 16, 16)])
def test_empty_pictures(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, requires_grad=True)
    value = ops.ssim(x, torch.rand(shape))
    assert value.shape == (*shape[:2], 6, 6)
    value.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 13), {}, "of the same shape"),
        (torch.rand(1, 12, 12), torch.rand(1, 12, 12), {}, r"two pictures \(B, C, H, W\)"),
        (torch.rand(1, 1, 12, 12).int(), torch.rand(1, 1, 12, 12), {}, "floating dtypes, not torch.int32"),
        (torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 12, device="meta"), {}, "one device, not on cpu and meta"),
        (torch.rand(1, 1, 12, 10), torch.rand(1, 1, 12, 10), {}, r"the window of 11 is larger .* \(1, 1, 12, 10\)"),
        (torch.rand(1, 1, 12, 0), torch.rand(1, 1, 12, 0), {}, "the window of 11 is larger"),
        (torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 12), {"size": 4}, r"size \(4\) must be odd"),
        (torch.rand(1, 1, 50, 50), torch.rand(1, 1, 50, 50), {"size": 35}, r"size \(35\) .* at most 33"),
        (torch.rand(1, 1, 12, 12), torch.rand(1, 1, 12, 12), {"sigma": 0.0}, r"sigma \(0.0\) positive"),
    ],
)
def test_invalid_arguments_are_an_error(x: Tensor, y: Tensor, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.ssim(x, y, **settings)


def test_kernels_check_their_arguments() -> None:
    """Calls the operations directly, without the checks in Python."""
    x, y = pictures(1, 2, 14, 13)
    value, saved = FORWARD(x, y, 11, 1.5, *C, 3)
    wrong: list[tuple[Any, ...]] = [
        (FORWARD, x, y[:, :1], 11, 1.5, *C, 0),
        (FORWARD, x, y.float(), 11, 1.5, *C, 0),
        (FORWARD, x[0], y[0], 11, 1.5, *C, 0),
        (FORWARD, x, y, 15, 1.5, *C, 0),
        (FORWARD, x, y, 1001, 1.5, *C, 0),
        (FORWARD, x.int(), y.int(), 11, 1.5, *C, 0),
        (BACKWARD, value, x, y, saved[:0], 11, 1.5, *C, 3),
        (BACKWARD, value[:, :, 1:], x, y, saved, 11, 1.5, *C, 3),
        (BACKWARD, value, x, y, saved.float(), 11, 1.5, *C, 3),
        (BACKWARD, value, x, y, saved, 5, 1.5, *C, 3),
    ]
    for operation, *arguments in wrong:
        with pytest.raises(RuntimeError):
            operation(*arguments)

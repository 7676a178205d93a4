import pytest
import torch
from torch.autograd import gradcheck
from torch.library import opcheck

import ops
from ops._registry import NAMESPACE

OPERATION = getattr(torch.ops, NAMESPACE).add_matrix.default


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 257), (0, 3), (3, 0)])
def test_values_of_all_shapes_and_dtypes(shape: tuple[int, int], dtype: torch.dtype) -> None:
    x, y = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    torch.testing.assert_close(ops.add_matrix(x, y), x + y, rtol=0, atol=0)
    assert torch.equal(ops.AddMatrix()(x, y), x + y)


def test_any_strides_are_added() -> None:
    x = torch.randn(6, 5)
    for other in (torch.randn(5, 6).T, torch.randn(6, 1).expand(6, 5), torch.randn(12, 10)[::2, 1::2]):
        for pair in ((x, other), (other, x), (other, other)):
            result = ops.add_matrix(*pair)
            assert torch.equal(result, pair[0] + pair[1])
            assert result.is_contiguous()


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_gradients_by_either_matrix(wanted: tuple[bool, bool]) -> None:
    pair = [torch.randn(4, 3, dtype=torch.float64, requires_grad=each) for each in wanted]
    assert gradcheck(ops.add_matrix, pair)


def test_opcheck_and_compile() -> None:
    opcheck(OPERATION, (torch.randn(4, 3), torch.randn(4, 3, requires_grad=True)))
    compiled = torch.compile(ops.add_matrix, fullgraph=True, dynamic=True)
    for rows in (2, 5):
        x, y = torch.randn(rows, 3), torch.randn(rows, 3)
        assert torch.equal(compiled(x, y), x + y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(3, 2), r"two matrices of the same shape, not \(2, 3\) and \(3, 2\)"),
        (torch.zeros(3), torch.zeros(3), r"two matrices of the same shape, not \(3,\)"),
        (
            torch.zeros(2, 3),
            torch.zeros(2, 3, dtype=torch.float64),
            "same floating dtype, not torch.float32 and torch.f",
        ),
        (torch.zeros(2, 3).int(), torch.zeros(2, 3).int(), "same floating dtype, not torch.int32"),
        (torch.zeros(2, 3), torch.zeros(2, 3, device="meta"), "on one device, not on cpu and meta"),
    ],
)
def test_invalid_arguments_are_an_error(x: torch.Tensor, y: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.add_matrix(x, y)
    if x.device == y.device and x.is_floating_point():
        with pytest.raises(RuntimeError):
            OPERATION(x, y)  # the kernel checks as well

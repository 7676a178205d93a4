"""Digest functions: every changed bit, order, shape and dtype shows, and layout, threads and devices do not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import xxhash
from torch import Tensor

from project.core.training.digests.functions import HashDigester, SumDigester

CPU = torch.device("cpu")
DIGESTERS: list[Callable[[], Any]] = [HashDigester, lambda: SumDigester(CPU)]
KNOWN = {"xxh3": [15301194055504066819, 12230084528542260073], "sum": [10534472309704726789, 13766445567729450109]}
both = pytest.mark.parametrize("build", DIGESTERS, ids=["xxh3", "sum"])
DTYPES = [
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn),
    *(torch.int64, torch.int16, torch.uint8, torch.bool, torch.complex64, torch.complex128),
]


def values(digester: Any, tensors: Sequence[Tensor]) -> list[int]:
    found: list[int] = digester.fetch([digester.join([digester(tensors)])])[0].tolist()
    return found


def random(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if dtype is torch.bool:
        return torch.rand(shape, generator=generator) < 0.5
    return (50 * torch.rand(shape, generator=generator)).to(dtype)


def test_known_digests() -> None:
    """Digests in files of runs stay comparable: neither the functions nor what they are given changes."""
    ramp = torch.arange(3000, dtype=torch.float32)
    assert values(HashDigester(), [ramp, torch.tensor(0.1, dtype=torch.float64)]) == KNOWN["xxh3"]
    assert values(SumDigester(CPU), [ramp, torch.tensor(0.1, dtype=torch.float64)]) == KNOWN["sum"]
    seed = 17706026887166257675
    assert KNOWN["xxh3"][0] == xxhash.xxh3_64_intdigest(np.arange(3000, dtype=np.float32).tobytes(), seed)


@both
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_flipped_bit_of_each_dtype_shows(build: Callable[[], Any], dtype: torch.dtype) -> None:
    tensor = random(3, 2, dtype=dtype)
    raw = tensor.view(-1).view(torch.uint8)
    flipped = [tensor]
    for number in range(len(raw)):
        for bit in range(8) if dtype is not torch.bool else (0,):
            other = raw.clone()
            other[number] ^= 1 << bit
            flipped.append(other.view(dtype).view(3, 2))
    digests = values(build(), flipped)
    assert len({*digests}) == len(digests) > 6


@both
def test_swaps_permutations_pairs_of_signs_and_shifts_show(build: Callable[[], Any]) -> None:
    """Sums that are linear in 32 bits miss every pair of flipped signs."""
    tensor, generator = random(1500), torch.Generator().manual_seed(1)
    changed = [tensor, tensor.roll(1), tensor.flip(0), tensor[torch.randperm(1500, generator=generator)]]
    for _ in range(200):
        one, two = torch.randperm(1500, generator=generator)[:2]
        swapped, signs = tensor.clone(), tensor.clone()
        swapped[one], swapped[two] = tensor[two], tensor[one]
        signs[one] *= -1
        signs[two] *= -1
        changed += [swapped, signs]
    digests = values(build(), changed)
    assert len({*digests}) == len(digests)


@both
def test_shape_dtype_and_length_show(build: Callable[[], Any]) -> None:
    zeros = [torch.zeros(shape) for shape in ([], [1], [2], [1, 2], [2, 1], [0], [0, 3], [1024], [1025])]
    zeros += [torch.zeros(2, dtype=torch.int32), torch.zeros(1, dtype=torch.float64), torch.zeros(8, dtype=torch.bool)]
    digests = values(build(), zeros)
    assert len({*digests}) == len(digests)


@both
def test_layout_of_memory_does_not_show(build: Callable[[], Any]) -> None:
    tensor = random(6, 4, 5, 3)
    apart = torch.zeros(6, 4, 5, 6)[..., ::2].copy_(tensor)
    offset = torch.zeros(tensor.numel() + 1)[1:].view(6, 4, 5, 3).copy_(tensor)
    narrow = random(9, dtype=torch.bfloat16)
    shifted = torch.zeros(10, dtype=torch.bfloat16)[1:].copy_(narrow)
    pairs = random(4, dtype=torch.complex64) * 1j
    conjugated = pairs.conj().resolve_conj().conj()  # a view with a flag
    same = [tensor, tensor.to(memory_format=torch.channels_last), apart, offset, tensor.clone().requires_grad_()]
    assert len({*values(build(), same)}) == 1
    assert len({*values(build(), [narrow, shifted])}) == 1
    assert len({*values(build(), [pairs, conjugated])}) == 1


@both
def test_digests_do_not_depend_on_other_tensors_or_threads(build: Callable[[], Any]) -> None:
    tensors = [random(3), random(1000, 1100), random(1), torch.zeros(0), random(700, 9)]
    alone = [values(build(), [tensor])[0] for tensor in tensors]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert values(build(), tensors) == alone
    finally:
        torch.set_num_threads(before)


@both
def test_repeated_digests_follow_the_memory(build: Callable[[], Any]) -> None:
    """Views of parameters are kept: changes in place, new memory, another shape and layout show nevertheless."""
    digester: Any = build()
    parameter, other = torch.nn.Parameter(random(4, 4)), random(3)

    def check() -> None:
        repeated = digester.fetch([digester.join([digester.repeated([parameter, other])])])[0].tolist()
        assert repeated == values(build(), [parameter, other])

    check()
    parameter.data[0, 0] += 1
    check()
    parameter.data = random(4, 4) * 2
    check()
    parameter.data = parameter.data.view(2, 8)
    check()
    parameter.data = parameter.data.t()
    check()
    parameter.data[0, 0] += 1
    check()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_sums_on_a_gpu_are_those_on_the_cpu() -> None:
    tensors = [random(3), random(2500, 2000), torch.zeros(0), *(random(9, 5, dtype=dtype) for dtype in DTYPES)]
    expected = values(SumDigester(CPU), tensors)
    device = torch.device("cuda")
    assert values(SumDigester(device), [tensor.to(device) for tensor in tensors]) == expected
    mixed = [tensor.to(device) if number % 2 else tensor for number, tensor in enumerate(tensors)]
    assert values(SumDigester(device), mixed) == expected

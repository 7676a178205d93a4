"""Digests of tensors: 64 bits that depend on each bit, on the shape and on the dtype."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from project.core.digest_file import Words

_ROW = 1024  # words of 32 bits
_MAX_ROWS = 4096  # multiplied at once: their products take 32 MB
_GOLDEN, _MIX_1, _MIX_2 = (
    value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)  # of splitmix64, as signed numbers


class HashDigester:
    """Digests by xxhash's xxh3, on the CPU: 1 GB takes 0.1 s.

    Example::

        digests = HashDigester()
        row = digests.join([digests(parameters), digests([loss])])
    """

    kind = "xxh3"

    def __init__(self) -> None:
        self._views: list[tuple[int, torch.Size, memoryview, int]] = []

    def __call__(self, tensors: Sequence[Tensor]) -> list[int]:
        """Return the digests of tensors; of equal tensors in another layout of memory, the same ones."""
        return [
            xxhash.xxh3_64_intdigest(_bytes(_flat(tensor)), _describe(tensor.shape, tensor.dtype)) for tensor in tensors
        ]

    def repeated(self, tensors: Sequence[Tensor]) -> list[int]:
        """Return the digests of tensors whose memory is mostly that of the last call, in a third of the time."""
        if len(self._views) != len(tensors):
            self._views = [(0, torch.Size(), memoryview(b""), 0)] * len(tensors)
        digests = []
        for number, tensor in enumerate(tensors):
            address, shape, view, about = self._views[number]
            if tensor.data_ptr() != address or tensor.shape != shape or not tensor.is_contiguous() or not address:
                flat = _flat(tensor)
                view, about = _bytes(flat), _describe(tensor.shape, tensor.dtype)
                is_own = flat.data_ptr() == tensor.data_ptr()  # and not a copy
                self._views[number] = (tensor.data_ptr() if is_own else 0, tensor.shape, view, about)
            digests.append(xxhash.xxh3_64_intdigest(view, about))
        return digests

    def join(self, parts: Sequence[list[int]]) -> list[int]:
        """Return digests of several calls as one row."""
        return [digest for part in parts for digest in part]

    def fetch(self, rows: Sequence[list[int]]) -> list[Words]:
        """Return rows as arrays."""
        return [np.array(row, np.uint64) for row in rows]


class SumDigester:
    """Digests by sums of integers, on any device; they do not depend on the order in which it adds.

    The 32-bit words of a tensor are arranged in rows. Words are multiplied by odd numbers of 64 bits, and added modulo
    2**64; the sums of rows are mixed, multiplied and added likewise. An odd factor is not divisible by 2, so that each
    changed bit changes the sum; two changes cancel each other with a probability below 2**-31, the worst case of two
    sign bits. Nothing waits for the device before `fetch`.

    Args:
        device: where rows are collected; tensors on other devices are digested there.
    """

    kind = "sum"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._plans: dict[Any, _Plan] = {}

    @torch.no_grad()
    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the digests of tensors as `(n,)` on the device."""
        devices = dict.fromkeys(tensor.device for tensor in tensors)
        if len(devices) < 2:
            return self._digest(tensors).to(self.device)
        result = torch.empty(len(tensors), dtype=torch.int64, device=self.device)
        for device in devices:
            own = [number for number, tensor in enumerate(tensors) if tensor.device == device]
            digests = self._digest([tensors[number] for number in own])
            result[torch.tensor(own).to(self.device)] = digests.to(self.device)
        return result

    repeated = __call__

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Return digests of several calls as one row."""
        return torch.cat(list(parts))

    def fetch(self, rows: Sequence[Tensor]) -> list[Words]:
        """Return rows as arrays: the only copy from the device."""
        if not rows:
            return []
        digests = torch.cat(list(rows)).cpu().numpy().view(np.uint64)
        return np.split(digests, np.cumsum([len(row) for row in rows[:-1]]))

    def _digest(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the digests of tensors on one device."""
        if not tensors:
            return torch.empty(0, dtype=torch.int64)
        key = (tensors[0].device, tuple((tensor.shape, tensor.dtype) for tensor in tensors))
        if key not in self._plans:
            if len(self._plans) > 64:  # batches of many lengths
                self._plans.clear()
            self._plans[key] = _Plan(tensors)
        return self._plans[key](tensors)


class _Plan:
    """How to add the words of tensors of given shapes and dtypes: in rows, of which each belongs to one tensor."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        device = tensors[0].device
        counts = [-(-_word_count(tensor) // _ROW) for tensor in tensors]
        rows = torch.tensor(counts)
        starts = (rows.cumsum(0) - rows).repeat_interleave(rows)
        self.owners = torch.arange(len(tensors)).repeat_interleave(rows).to(device)
        self.factors = _odd(torch.arange(sum(counts)) - starts, 2).to(device)
        self.columns = _odd(torch.arange(_ROW), 1).to(device)
        about = [_describe(tensor.shape, tensor.dtype) for tensor in tensors]
        self.about = torch.from_numpy(np.array(about, np.uint64).view(np.int64)).to(device)
        self.zeros = torch.zeros(_ROW, dtype=torch.int32, device=device)

    def __call__(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the digests."""
        sums: list[Tensor] = []
        waiting: list[Tensor] = []
        size = 0
        for tensor in tensors:
            words = _words(tensor)
            for part in words.split(_ROW * _MAX_ROWS):
                if size + len(part) > _ROW * _MAX_ROWS:
                    sums.append(self._sum(waiting))
                    waiting, size = [], 0
                waiting += [part, self.zeros[: -len(part) % _ROW]]
                size += len(part) + -len(part) % _ROW
        sums.append(self._sum(waiting))
        return self.about.index_add(0, self.owners, _mix(torch.cat(sums)) * self.factors)

    def _sum(self, parts: Sequence[Tensor]) -> Tensor:
        return (torch.cat(list(parts)).view(-1, _ROW) * self.columns).sum(1)


def _bytes(flat: Tensor) -> memoryview:
    """Return the bytes of a flat tensor on the CPU, without a copy."""
    return flat.view(torch.uint8).numpy().data


def _flat(tensor: Tensor) -> Tensor:
    """Return the elements of a tensor in their order; without a copy if memory has this order."""
    return tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)


def _word_count(tensor: Tensor) -> int:
    return -(-tensor.numel() * tensor.element_size() // 4)


def _words(tensor: Tensor) -> Tensor:
    """Return the bytes of a tensor as words of 32 bits; zeros fill the last one."""
    flat = _flat(tensor)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    if flat.element_size() >= 4:
        return flat.view(torch.int32)
    flat = flat.view(torch.uint8)
    if missing := -len(flat) % 4:
        flat = torch.cat([flat, flat.new_zeros(missing)])
    return (flat.clone() if flat.storage_offset() % 4 else flat).view(torch.int32)


@lru_cache(1024)
def _describe(shape: torch.Size, dtype: torch.dtype) -> int:
    """Return 64 bits that depend on shape and dtype."""
    text = f"{tuple(shape)} {dtype}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _odd(numbers: Tensor, key: int) -> Tensor:
    """Return an odd factor for each number: it depends on the number and the key alone."""
    return _mix(numbers * _GOLDEN + key) | 1


def _mix(values: Tensor) -> Tensor:
    """Return values each of whose bits depends on all bits of the given one (the finalizer of splitmix64)."""
    values = (values ^ (values >> 30 & 2**34 - 1)) * _MIX_1
    values = (values ^ (values >> 27 & 2**37 - 1)) * _MIX_2
    return values ^ (values >> 31 & 2**33 - 1)

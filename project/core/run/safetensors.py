"""Files in the format safetensors: the length of a header, the header as JSON, and the values of the tensors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_LENGTH = 8  # bytes of the length of the header


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file by name.

    Raises:
        ValueError: the file is damaged, or contains a dtype that is not supported.
    """
    with path.open("rb") as file:
        length, size = int.from_bytes(file.read(_LENGTH), "little"), path.stat().st_size
        if length > size - _LENGTH:
            raise ValueError("it ends before its header does")
        header = json.loads(file.read(length))
    data = torch.from_numpy(np.fromfile(path, np.uint8, offset=_LENGTH + length))
    return {name: _read_tensor(entry, data) for name, entry in header.items() if name != "__metadata__"}


def _read_tensor(entry: dict[str, Any], data: Tensor) -> Tensor:
    dtype, shape, (start, end) = _DTYPES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if dtype is None:
        raise ValueError(f"the dtype {entry['dtype']} is not supported")
    if not 0 <= start <= end <= len(data):
        raise ValueError("it ends before its tensors do")
    return data[start:end].clone().view(dtype).reshape(shape)  # cloned, because the bytes may not be aligned

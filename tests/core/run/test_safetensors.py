"""Files in the format safetensors are read without the package, and damaged ones are refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import safe_load

HALF = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
MATRIX = {"dtype": "F32", "shape": [2, 3], "data_offsets": [5, 29]}  # not aligned
FLAG = {"dtype": "BOOL", "shape": [], "data_offsets": [4, 5]}
EMPTY = {"dtype": "I64", "shape": [0, 4], "data_offsets": [29, 29]}
# 1.5 and -2 are 0x3FC0 and 0xC000 in bfloat16.
DATA = b"\xc0\x3f\x00\xc0" + b"\x01" + np.arange(6, dtype="<f4").tobytes()


def write(path: Path, header: dict[str, Any], data: bytes = DATA, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def test_tensors_have_their_values(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "half": HALF, "matrix": MATRIX, "flag": FLAG, "empty": EMPTY}
    weights = safe_load(write(tmp_path / "x.safetensors", header))
    expected = {
        "half": torch.tensor([1.5, -2], dtype=torch.bfloat16),
        "matrix": torch.arange(6.0).view(2, 3),
        "flag": torch.tensor(True),
        "empty": torch.zeros(0, 4, dtype=torch.int64),
    }
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert (weights[name].dtype, weights[name].shape) == (value.dtype, value.shape)
        assert torch.equal(weights[name], value)


@pytest.mark.parametrize(
    ("header", "length", "reason"),
    [
        ({"x": MATRIX | {"data_offsets": [5, 33]}}, None, "it ends before its tensors do"),
        ({"x": MATRIX | {"data_offsets": [-4, 20]}}, None, "it ends before its tensors do"),
        ({"x": MATRIX | {"shape": [7]}}, None, "shape '.7.' is invalid"),
        ({"x": MATRIX | {"dtype": "F4"}}, None, "the dtype F4 is not supported"),
        ({"x": {}}, None, "dtype"),
        ({}, 2**40, "it ends before its header does"),
        ({}, 4, "UnicodeDecodeError"),
    ],
)
def test_damaged_file_is_refused(header: dict[str, Any], length: int | None, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", header, length=length)
    with pytest.raises(ConfigError, match=rf"^checkpoint {path} cannot be read: it is damaged .*{reason}"):
        safe_load(path)


def test_package_writes_what_is_read(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.torch")
    weights = {"a": torch.randn(3, 2), "b": torch.arange(4), "c": torch.ones(1, dtype=torch.float16)}
    package.save_file(weights, tmp_path / "x.safetensors")
    read = safe_load(tmp_path / "x.safetensors")
    assert all(torch.equal(read[name], value) for name, value in weights.items())

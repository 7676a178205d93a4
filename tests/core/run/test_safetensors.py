"""Files of safetensors are read by its package; damaged ones are refused, and a missing package is named."""

import sys
from pathlib import Path

import pytest
import torch

from project.core.errors import ConfigError
from project.core.run.checkpoint_files import safe_load


def test_tensors_have_their_values(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors.torch")
    weights = {"a": torch.randn(3, 2), "b": torch.arange(4), "c": torch.ones(1, dtype=torch.bfloat16)}
    package.save_file(weights, tmp_path / "x.safetensors")
    read = safe_load(tmp_path / "x.safetensors")
    assert read.keys() == weights.keys()
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in weights.items())


@pytest.mark.parametrize("content", [b"", b"hello, world", b"\xff" * 64], ids=["empty", "text", "length"])
def test_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^checkpoint {path} cannot be read: it is damaged or not a checkpoint"):
        safe_load(path)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("safetensors", "safetensors.torch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(ConfigError, match=r"x\.safetensors needs the package safetensors: pip install safetensors$"):
        safe_load(tmp_path / "x.safetensors")

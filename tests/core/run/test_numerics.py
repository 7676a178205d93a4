"""The numerics fingerprint separates settings of which the bits differ, and is computed once per machine."""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from project.core.run import numerics
from project.core.run.numerics import compute_fingerprint, numerics_fingerprint

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache directory of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the fingerprints that are computed; they are 0, 1, ..."""
    found: list[str] = []

    def compute(device: torch.device) -> str:
        found.append(f"{len(found):016x}")
        return found[-1]

    monkeypatch.setattr(numerics, "compute_fingerprint", compute)
    return found


def global_state() -> list[Any]:
    """Return what a training could see of a computation before it."""
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # type: ignore[index]
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_num_threads(),
        torch.is_autocast_enabled("cpu"),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    ]


def test_the_state_of_the_process_neither_changes_nor_matters() -> None:
    """A run must have the same numbers after it, and two runs of one machine the same fingerprint."""
    expected = compute_fingerprint(CPU)
    before = global_state()
    with torch.inference_mode(), torch.autocast("cpu"):
        torch.set_default_dtype(torch.float64)
        try:
            inner = global_state()
            assert compute_fingerprint(CPU) == expected
            assert global_state() == inner
        finally:
            torch.set_default_dtype(torch.float32)
    assert global_state() == before


@pytest.mark.slow
def test_settings_have_one_fingerprint_if_their_trainings_have_the_same_bits() -> None:
    """Layers that the fingerprint does not contain tell whether the bits of a training differ."""
    plain, hashing, instructions, threads, both, repeated = map(
        train,
        (
            {},
            {"PYTHONHASHSEED": "7"},
            {"ATEN_CPU_CAPABILITY": "default"},
            {"OMP_NUM_THREADS": "2"},
            {"OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE"},
            {"MKL_CBWR": "COMPATIBLE"},
        ),
    )
    assert plain == hashing
    different = [plain, instructions, threads, both, repeated]
    for fingerprints_or_bits in zip(*different, strict=True):
        assert len({*fingerprints_or_bits}) == len(different)


def train(variables: dict[str, str]) -> list[str]:
    """Return the fingerprint, and a hash of a small training, of a process with environment variables."""
    command = [sys.executable, "-c", f"from {__name__} import show; show()"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


def show() -> None:
    """Print the fingerprint, and a hash of weights that were trained."""
    torch.manual_seed(0)
    layers = torch.nn.TransformerEncoderLayer(48, 4, 96, 0.0, batch_first=True)
    net = torch.nn.Sequential(torch.nn.Conv1d(8, 48, 3), torch.nn.Flatten(2), layers)
    optimizer = torch.optim.AdamW(net.parameters())
    inputs = torch.rand(32, 8, 50)
    for _ in range(3):
        net(inputs).square().mean().backward()
        optimizer.step()
    digest = hashlib.sha256()
    for parameter in net.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    print(compute_fingerprint(CPU), digest.hexdigest())


def test_the_cache_has_a_file_for_each_setting(
    cache: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = numerics_fingerprint(CPU)
    assert numerics_fingerprint(CPU) == first
    assert len(computed) == 1
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    second = numerics_fingerprint(CPU)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        third = numerics_fingerprint(CPU)
    finally:
        torch.set_num_threads(threads)
    assert [first, second, third] == computed
    assert len([*cache.rglob("*.json")]) == 3
    assert numerics_fingerprint(CPU) == second


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b"\xff\xfe", b'{"fingerprint": "0123456789abcdef"}', b"[" * 10_000, None],
    ids=["empty", "list", "bytes", "no_settings", "nested", "wrong_type"],
)
def test_a_damaged_file_is_computed_again(content: bytes | None, cache: Path, computed: list[str]) -> None:
    """A file that is cut, or of somebody else, must neither end a run nor give it a false fingerprint."""
    numerics_fingerprint(CPU)
    (file,) = cache.rglob("*.json")
    saved = json.loads(file.read_text())
    file.write_bytes(json.dumps(saved | {"fingerprint": 7}).encode() if content is None else content)
    assert numerics_fingerprint(CPU) == computed[1]
    assert numerics_fingerprint(CPU) == computed[1]
    assert len(computed) == 2


def test_a_cache_that_cannot_be_written_is_no_error(cache: Path, computed: list[str]) -> None:
    cache.write_text("no directory")
    assert [numerics_fingerprint(CPU), numerics_fingerprint(CPU)] == computed
    assert cache.read_text() == "no directory"


def test_without_a_variable_the_cache_is_that_of_the_user(
    tmp_path: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    numerics_fingerprint(CPU)
    package = numerics.__name__.partition(".")[0]
    assert [file.parent for file in tmp_path.rglob("*.json")] == [tmp_path / ".cache" / package / "numerics"]


def test_runs_that_start_together_read_whole_files(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(4)
    found: list[str] = []

    def compute(device: torch.device) -> str:
        together.wait(10)
        return "0" * 16

    monkeypatch.setattr(numerics, "compute_fingerprint", compute)
    threads = [threading.Thread(target=lambda: found.append(numerics_fingerprint(CPU))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["0" * 16] * 4
    assert numerics_fingerprint(CPU) == "0" * 16
    assert len([*cache.rglob("*.*")]) == 1

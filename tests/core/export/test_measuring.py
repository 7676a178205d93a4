"""Speeds are of one thread and by turns; the largest picture is measured in a process of its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from project.core.export import measuring
from project.core.export.measuring import measure_largest_picture, measure_speed
from tests.deploy.onnx_files import CARD, card_with, write_model


def test_functions_are_called_by_turns_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SECONDS", 0.0)
    calls: list[tuple[str, int, int]] = []

    def run(name: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        calls.append((name, len(inputs["x"]), torch.get_num_threads()))
        assert inputs["x"].tolist() == [0, 1, 2, *range(3)][: len(inputs["x"])] or len(inputs["x"]) == 32
        return inputs

    threads = torch.get_num_threads()
    found = measure_speed({name: lambda x, name=name: run(name, x) for name in "ab"}, {"x": torch.arange(3)})  # type: ignore[misc]
    assert calls == [("a", 1, 1), ("b", 1, 1), ("a", 32, 1), ("b", 32, 1)]
    assert {name: list(values) for name, values in found.items()} == {"a": ["1", "32"], "b": ["1", "32"]}
    assert torch.get_num_threads() == threads


def test_large_batches_of_slow_nets_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_SECONDS", 0.0)
    monkeypatch.setattr(measuring, "_MAX_SECONDS", 0.0)
    found = measure_speed({"a": lambda inputs: inputs}, {"x": torch.arange(3)})
    assert list(found["a"]) == ["1"]


def test_largest_picture_is_measured_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert measure_largest_picture(write_model(tmp_path / "model.onnx"), CARD) == 12
    fixed = card_with(shapes={**CARD.shapes, "image": CARD.shapes["offset"] * 3})
    assert measure_largest_picture(tmp_path / "missing.onnx", fixed) is None
    assert measure_largest_picture(tmp_path / "missing.onnx", CARD) is None

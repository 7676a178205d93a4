"""Curves are those of TensorBoard's own reader, whatever a file contains."""

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]
from torch.utils.tensorboard import SummaryWriter

import project
from project.core.tensorboard import DedupTensorBoardLogger
from project.study.events import Curves, read_curves


def reference(run: Path) -> dict[str, list[tuple[int, float, float]]]:
    """Return the scalars in RUN/event by TensorBoard."""
    events = EventAccumulator(str(run / "event"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    curves = {
        tag: [(each.step, each.value, each.wall_time) for each in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    for tag in events.Tags()["tensors"]:
        points = [(each.step, make_ndarray(each.tensor_proto), each.wall_time) for each in events.Tensors(tag)]
        if all(value.dtype.kind == "f" and value.size == 1 for _, value, _ in points):
            curves.setdefault(tag, []).extend((step, float(value), time) for step, value, time in points)
    return {tag: points for tag, points in curves.items() if points}


def assert_equal(curves: Curves, expected: dict[str, list[tuple[int, float, float]]]) -> None:
    assert curves.keys() == expected.keys()
    for name, points in expected.items():
        steps, values, times = curves[name]
        assert [str(array.dtype) for array in (steps, values, times)] == ["int64", "float64", "float64"]
        assert steps.tolist() == [step for step, _, _ in points]
        np.testing.assert_array_equal(values, np.array([value for _, value, _ in points]))  # NaN equals NaN
        assert times.tolist() == [time for _, _, time in points]


def writer(run: Path, **arguments: Any) -> SummaryWriter:
    return SummaryWriter(str(run / "event"), **arguments)


def write_many_points(run: Path) -> None:
    with writer(run) as events:
        for step in range(0, 700, 7):
            for name in ("a", "val/loss", "train/" + "long" * 20, "very" * 60, "ü/é", ""):
                events.add_scalar(name, step / 3, step)


def write_odd_steps(run: Path) -> None:
    with writer(run) as events:
        for step in (0, 1, 127, 128, 16384, 2**31, 2**62, -1, -(2**62), 3):
            events.add_scalar("a", float(step), step)
        events.add_scalar("a", 5.0)  # without a step


def write_odd_values(run: Path) -> None:
    with writer(run) as events:
        for step, value in enumerate((float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 3e38, 1e300)):
            events.add_scalar("a", value, step, walltime=step / 7)


def write_other_kinds(run: Path) -> None:
    with writer(run) as events:
        for step in range(5):
            events.add_scalar("old", 0.1 * step, step)
            events.add_scalar("new", 0.1 * step, step, new_style=True)
            events.add_scalar("double", 0.1 * step, step, new_style=True, double_precision=True)
            events.add_scalar("mixed", 0.1 * step, step)
            events.add_image("picture", torch.rand(3, 40, 40), step)
            events.add_image("dot", torch.rand(3, 1, 1), step)
            events.add_histogram("histogram", torch.randn(100), step)
            events.add_text("text", "words", step)
        events.add_hparams({"lr": 1}, {"metric": 2.0})


def write_several_values_of_one_event(run: Path) -> None:
    with writer(run) as events:
        for step in range(3):
            values = [Summary.Value(tag=name, simple_value=step) for name in ("a", "b")]
            events.file_writer.add_summary(Summary(value=values), step)
            events.add_scalar("a", 9.0, step)


def write_several_files(run: Path) -> None:
    for number in range(3):
        with writer(run, filename_suffix=f".{number}") as events:
            for step in range(4):
                events.add_scalar("a", float(number), number * 3 + step)


def write_restarts(run: Path) -> None:
    for number, purge_step in enumerate((None, 3, 5)):
        with writer(run, purge_step=purge_step, filename_suffix=f".{number}") as events:
            for step in range(purge_step or 0, 8):
                events.add_scalar("a", float(number), step)
    with writer(run, filename_suffix=".9") as events:  # within a file
        events.add_scalar("a", 1.0, 8)
        events.add_scalar("b", 1.0, 8)
        events.file_writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), 6)
        events.add_scalar("a", 2.0, 7)


def write_by_logger(run: Path) -> None:
    logger = DedupTensorBoardLogger(run)
    for step in range(5):
        logger.log_metrics({"train/loss": 1 / (step + 1), "epoch": 0}, step)
        logger.log_metrics({"train/loss": 1 / (step + 1)}, step)
        logger.log_metrics({"both": {"x": 1.0}}, step)
    logger.finalize("success")


WRITERS = [
    *(write_many_points, write_odd_steps, write_odd_values, write_other_kinds, write_several_values_of_one_event),
    *(write_several_files, write_restarts, write_by_logger),
]


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("write", WRITERS)
def test_curves_equal_those_of_tensorboard(write: Callable[[Path], None], tmp_path: Path) -> None:
    """Every step, value, time and name is that of EventAccumulator."""
    write(tmp_path)
    expected, problems = reference(tmp_path), list[str]()
    assert_equal(read_curves(tmp_path, problems), expected)
    assert expected
    assert problems == []


def cut(data: bytes) -> bytes:
    return data[:-7]


def cut_in_a_header(data: bytes) -> bytes:
    return data + data[:9]


def flip_a_value(data: bytes) -> bytes:
    return data[:-6] + bytes([data[-6] ^ 1]) + data[-5:]


def flip_the_last_checksum(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def flip_in_the_middle(data: bytes) -> bytes:
    return data[:400] + bytes([data[400] ^ 16]) + data[401:]


def append_zeros(data: bytes) -> bytes:
    return data + bytes(5000)


def append_a_huge_length(data: bytes) -> bytes:
    return data + struct.pack("<Q", 2**64 - 1) + data


def append_a_huge_length_with_its_checksum(data: bytes) -> bytes:
    return data + struct.pack("<QI", 2**50, 0x8BB5D9E5) + bytes(40)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (cut, "ends within a record"),
        (cut_in_a_header, "ends within a record"),
        (flip_a_value, "is damaged after byte"),
        (flip_the_last_checksum, "is damaged after byte"),
        (flip_in_the_middle, "is damaged after byte"),
        (append_zeros, "is damaged after byte"),
        (append_a_huge_length, "is damaged after byte"),
        (append_a_huge_length_with_its_checksum, ""),
    ],
)
def test_a_damaged_file_is_read_up_to_the_damage(
    damage: Callable[[bytes], bytes], problem: str, tmp_path: Path
) -> None:
    """Points before the damage are TensorBoard's, and the problem is told."""
    with writer(tmp_path) as events:
        for step in range(40):
            events.add_scalar("a", step / 3, step)
    (file,) = (tmp_path / "event").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    problems: list[str] = []
    curves = read_curves(tmp_path, problems)
    assert_equal(curves, reference(tmp_path))
    assert len(curves["a"][0]) > 5
    assert len(problems) == 1
    assert problems[0].startswith(f"event/{file.name} {problem}")


@pytest.mark.parametrize("data", [b"", b"x", b"not an event file" * 10, bytes(100), bytes(range(256)) * 40])
def test_other_files_have_no_points(data: bytes, tmp_path: Path) -> None:
    """A file that only has the name of an event file is told, unless it is empty."""
    (tmp_path / "event").mkdir()
    (tmp_path / "event/events.out.tfevents.1").write_bytes(data)
    (tmp_path / "event/events.out.tfevents.2").mkdir()
    problems: list[str] = []
    assert read_curves(tmp_path, problems) == {}
    assert len(problems) == 1 + bool(data)


def test_every_cut_and_flip_is_survived(tmp_path: Path) -> None:
    """Whichever byte is wrong, reading ends, and a point is never another than the one that was written."""
    with writer(tmp_path) as events:
        for step in range(3):
            events.add_scalar("a", step / 3, step, new_style=step == 1)
    (file,) = (tmp_path / "event").iterdir()
    data = file.read_bytes()
    whole = read_curves(tmp_path)["a"]
    for at in range(0, len(data), 3):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]):
            file.write_bytes(damaged)
            for read, written in zip(read_curves(tmp_path).get("a", ()), whole, strict=False):
                assert read.tolist() == written[: len(read)].tolist()


def test_records_that_cross_blocks_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the blocks that are read at a time changes nothing."""
    with writer(tmp_path) as events:
        for step in range(3):
            events.add_scalar("a", step / 3, step)
            events.add_image("picture", torch.rand(3, 40, 40), step)
    expected = reference(tmp_path)
    for size in (13, 100, 1500):
        monkeypatch.setattr(f"{project.__name__}.study.records._BLOCK", size)
        problems: list[str] = []
        assert_equal(read_curves(tmp_path, problems), expected)
        assert problems == []


def test_a_run_without_event_files_has_no_curves(tmp_path: Path) -> None:
    assert project.curves(tmp_path) == {}


def test_many_restarts_are_fast(tmp_path: Path) -> None:
    """Each goes back to step 1: only the last point remains. The points were copied for each restart."""
    restart = Event(wall_time=1.0, step=1, session_log=SessionLog(status=SessionLog.START))
    point = Event(wall_time=1.0, step=1, summary=Summary(value=[Summary.Value(tag="a", simple_value=0.5)]))
    (tmp_path / "event").mkdir()
    with (tmp_path / "event/events.out.tfevents.1").open("wb") as file:
        writer = RecordWriter(file)
        for _ in range(20_000):
            writer.write(restart.SerializeToString())
            writer.write(point.SerializeToString())
    start = time.monotonic()
    curves = read_curves(tmp_path)
    assert [array.tolist() for array in curves["a"][:2]] == [[1], [0.5]]
    assert time.monotonic() - start < 10

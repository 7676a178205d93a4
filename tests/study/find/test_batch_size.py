"""`find batch_size` finds the largest batch that fits in memory, and survives those that do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project.commands import main
from project.study.find import memory
from project.study.find.batch_size import search_sizes

COMPONENTS = "tests.study.find.components"
Find = Callable[..., tuple[int, list[list[str]], str]]


@pytest.fixture
def find(tiny: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Find:
    """Return a function that finds the batch size of a net; it returns the exit code, the words of each line, and err.

    The test fails if a file is left.
    """

    def call(net: str, **data: Any) -> tuple[int, list[list[str]], str]:
        images = {"type": "tests.core.components.IndexImages", "length": 1000}
        data = data or {"train": images, "val": None, "eval": None}
        arguments = {} if net.endswith("BrokenNet") else {"in_features": 64, "num_classes": 10}
        model = {"net": {"type": net} | arguments, "metric": None}
        config = tiny({"root": str(tmp_path / "runs"), "model": model, "data": data})
        before = sorted(tmp_path.rglob("*"))
        code = main(["find", "batch_size", "--config", config])
        assert sorted(tmp_path.rglob("*")) == before
        output, errors = capfd.readouterr()
        return code, [line.split() for line in output.splitlines()], errors

    return call


@pytest.mark.parametrize("bound", [2, 3, 5, 64, 100, 1000, None])
def test_the_largest_size_is_found_to_a_sixteenth_with_few_attempts(bound: int | None) -> None:
    for largest in (0, 1, 2, 3, 4, 5, 7, 31, 32, 33, 100, 777):
        tried: list[int] = []

        def fits(size: int, largest: int = largest, tried: list[int] = tried) -> bool:
            tried.append(size)
            return size <= largest

        found = search_sizes(fits, lambda: bound)
        most = largest if bound is None else min(largest, bound)
        assert most - max(0, most // 16) <= found <= most
        assert len(tried) <= 16
        assert len(tried) == len({*tried})
        assert bound is None or max(tried) <= max(2, bound)


@pytest.mark.slow
def test_all_samples_fit_and_the_fastest_size_is_told(find: Find) -> None:
    code, lines, _ = find("tests.components.MLP", train={"type": "tests.core.components.IndexImages", "length": 5})
    assert (code, lines[0]) == (0, ["batch", "size", "memory", "seconds", "per", "sample"])
    assert [words[0] for words in lines[1:4]] == ["2", "4", "5"]
    assert all(words[2] == "MB" and 0 < float(words[3]) < 1 for words in lines[1:4])
    assert lines[4][-2:] == ["--data.batch_size", "5"]
    assert lines[4][-5:-2] == ["whole", "training", "set:"]
    assert lines[5][:4] == ["least", "time", "per", "sample:"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "largest"),
    [
        ({"train": {"type": "tests.core.components.IndexStream", "length": 5}, "num_workers": 2}, "5"),
        ({"type": "tests.core.components.TwoLoaders", "sizes": [8]}, "8"),
    ],
)
def test_data_of_unknown_length_bounds_the_size_where_it_ends(data: dict[str, Any], largest: str, find: Find) -> None:
    """TwoLoaders, a data module of the user's own, gives its last batch although it is smaller."""
    code, lines, _ = find("tests.components.MLP", **data)
    assert code == 0
    assert lines[-2] == ["largest", "that", "fits:", "--data.batch_size", largest]


@pytest.mark.slow
def test_sizes_beyond_the_free_memory_are_refused_by_the_limit(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of n samples needs at least 3 tensors of 8 MB n: 300 MB, of which 270 may be used, are enough for 11."""
    monkeypatch.setattr(memory, "available_memory", lambda: 300_000_000)
    code, lines, _ = find(f"{COMPONENTS}.Hungry")
    assert code == 0
    (largest,) = (int(words[-1]) for words in lines if words[0] == "largest")
    assert 4 <= largest <= 16
    assert ["does", "not", "fit", "in", "memory"] in [words[1:] for words in lines]


@pytest.mark.slow
def test_a_killed_attempt_is_a_size_that_does_not_fit(find: Find) -> None:
    code, lines, _ = find(f"{COMPONENTS}.KilledAbove")
    assert code == 0
    assert "8 does not fit in memory (the process ended with -9)" in [" ".join(words) for words in lines]
    assert ["largest", "that", "fits:", "--data.batch_size", "6"] in lines


def test_an_error_of_the_net_is_told_once(find: Find) -> None:
    code, lines, errors = find("tests.core.components.BrokenNet")
    assert (code, lines) == (1, [])
    assert errors.count("ZeroDivisionError: on purpose") == 1


def test_a_limit_of_a_control_group_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both versions of cgroups; in a container, the path of the process is not below the mounted root."""
    for number, names in enumerate([("memory.max", "memory.current"), ("limit_in_bytes", "usage_in_bytes")]):
        group = tmp_path / str(number) / "job"
        group.mkdir(parents=True)
        limit, used = (name if name.startswith("memory.") else f"memory.{name}" for name in names)
        (group / limit).write_text("1000\n")
        (group / used).write_text("700\n")
        (group / "memory.stat").write_text("cache 300\ninactive_file 100\ntotal_inactive_file 100\n")
        assert memory._free_in_group(group, is_second_version=not number) == [400]
        (group / limit).write_text("max\n" if not number else f"{2**63 - 4096}\n")
        assert memory._free_in_group(group, is_second_version=not number) == []
    assert 10**6 < memory.available_memory() < 10**14

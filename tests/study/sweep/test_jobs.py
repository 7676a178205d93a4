"""Workers of one command share the processors and GPUs."""

import os

import pytest

from project.core.errors import ConfigError
from project.study.sweep import jobs, processors
from project.study.sweep.jobs import Share, parse_jobs, shares
from project.study.sweep.processors import THREADS, limit_threads


@pytest.fixture
def six_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (jobs, processors):
        monkeypatch.setattr(module, "processors", lambda: [2, 3, 4, 5, 6, 7])


@pytest.mark.usefixtures("six_processors")
def test_workers_have_equally_many_processors_and_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results depend on the number of threads, so that it must not depend on the worker that trains a run."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a5")
    assert shares(2) == [Share((2, 3, 4), "3"), Share((5, 6, 7), "GPU-a5")]
    assert [len(share.processors) for share in shares(4)] == [1, 1, 1, 1]
    assert [share.gpu for share in shares(3)] == ["3", "GPU-a5", "3"]
    assert {len(share.processors) for share in shares(9)} == {1}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert shares(1) == [Share((2, 3, 4, 5, 6, 7), None)]


@pytest.mark.usefixtures("six_processors")
@pytest.mark.parametrize(
    ("words", "threads"),
    [
        (["sweep", "--jobs", "2"], "3"),
        (["sweep", "--jobs=4"], "1"),
        (["sweep", "--jobs", "1"], None),
        (["sweep", "--jobs", "x"], None),
        (["sweep", "--jobs"], None),
        (["sweep"], None),
    ],
)
def test_threads_are_set_before_the_import(
    words: list[str], threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    limit_threads(words)
    assert environment.get(THREADS) == threads


@pytest.mark.usefixtures("six_processors")
def test_threads_of_the_user_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "5")
    limit_threads(["sweep", "--jobs", "2"])
    assert os.environ[THREADS] == "5"


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", ""])
def test_number_of_jobs_is_checked(text: str) -> None:
    with pytest.raises(ConfigError, match="--jobs is "):
        parse_jobs(text)

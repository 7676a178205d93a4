"""Streams are seeded sample by sample, and continue after the last batch trained on."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from project.core.data.datamodule import DataModule
from project.core.data.loading import build_loader
from project.core.data.sampling import TrainingPosition
from project.core.data.streams import Stream, StreamLoader
from project.core.errors import ConfigError
from project.registry import Transform
from tests.conftest import Cli
from tests.core.components import AnnouncedIndexStream, IndexStream, ShardedIndexStream
from tests.core.random_components import NoisyStream


@dataclass
class Training:
    """Position in a training, which the test moves."""

    epoch: int = 0
    done: int = 0

    def __call__(self) -> TrainingPosition:
        return TrainingPosition(self.epoch, self.done, self.done)


class BrokenStream(IndexStream):
    """Stream that fails at its third sample."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index, sample in enumerate(super().__iter__()):
            if index == 2:
                raise ZeroDivisionError("on purpose")
            yield sample


class RandomNumbers(IndexStream):
    """Stream of random numbers."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.length):
            yield random.random()


def stream_loader(workers: int, training: Training) -> StreamLoader:
    """Return a loader of three batches of three samples."""
    loader = build_loader(NoisyStream(10), "data.train", 3, 0, True, get_position=training, num_workers=workers)
    assert isinstance(loader, StreamLoader)
    return loader


def test_transforms_of_batches_draw_under_the_seed_of_the_batch() -> None:
    def load(stream: Any, rank: int = 0, epoch: int = 1) -> list[float]:
        """Return what is drawn in each batch, which must not depend on what the samples draw."""
        training, transform = Training(epoch), cast(Transform, lambda batch: {"drawn": random.random()})
        loader = build_loader(stream, "data.train", 3, 0, True, rank, 1, training, transforms=[transform])
        return [batch["drawn"] for batch in loader]

    first = load(NoisyStream(6))
    assert first == load(IndexStream(6)) == pytest.approx([0.7879111240036024, 0.40862551249042456])
    assert len({*first, *load(NoisyStream(6), rank=1), *load(NoisyStream(6), epoch=2)}) == 6


@pytest.mark.parametrize("workers", [0, 1])
def test_resumed_stream_continues_after_the_last_batch_trained_on(workers: int) -> None:
    training = Training()
    first = stream_loader(workers, training)
    batches, states = [], []
    for batch in first:  # a worker has loaded all batches when the first one arrives
        training.done += 1
        batches.append(batch["image"])
        states.append(first.state_dict())
    assert len(batches) == 3
    for done in (1, 2):
        second = stream_loader(workers, Training(done=done))
        second.load_state_dict(states[done - 1])
        rest = [batch["image"] for batch in second]
        assert len(rest) == 3 - done
        assert all(torch.equal(one, two) for one, two in zip(rest, batches[done:], strict=True))


def test_state_keeps_the_names_that_checkpoints_contain() -> None:
    training = Training()
    loader = stream_loader(0, training)
    next(iter(loader))
    training.done = 1
    assert loader.state_dict() == {"taken": 3, "dataset": {"next": 3}}


def test_stream_without_state_has_an_empty_state() -> None:
    training = Training()
    loader = build_loader(IndexStream(10), "data.train", 3, 0, True, get_position=training)
    assert isinstance(loader, StreamLoader)
    next(iter(loader))
    training.done = 1
    assert loader.state_dict() == {}


@pytest.mark.parametrize("workers", [0, 1])
def test_next_epoch_continues_a_stream_that_was_not_read_to_its_end(workers: int) -> None:
    training = Training()
    loader = stream_loader(workers, training)
    next(iter(loader))
    training.epoch, training.done = 1, 1
    labels = [batch["label"].tolist() for batch in loader]
    assert labels == [[4, 5, 6], [7, 8, 9]]
    training.epoch, training.done = 2, 3
    assert next(iter(loader))["label"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("workers", [0, 1])
def test_random_numbers_depend_on_the_epoch(workers: int) -> None:
    training = Training()
    loader = stream_loader(workers, training)
    epochs = []
    for epoch in (0, 1, 0):
        training.epoch = epoch
        epochs.append(torch.cat([batch["image"] for batch in loader]))
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_random_numbers_never_change() -> None:
    """A run resumed by a later version must continue with the numbers that it would have drawn."""
    stream = Stream(RandomNumbers(3), "data.train", seed=0, rank=0, is_training=True)
    stream.start_at(2, None)
    assert list(stream) == [0.9711277910390921, 0.07767884551660709, 0.39656007957736683]


@pytest.mark.parametrize(("workers", "announced"), [(0, 999), pytest.param(2, 40, marks=pytest.mark.slow)])
def test_evaluation_reads_all_samples(
    announced: int | None, workers: int, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """Of two workers, each of which would read the whole stream, one is used."""
    stream = {"type": "tests.core.components.AnnouncedIndexStream", "length": 20, "announced": announced}
    data = {"val": stream, "eval": stream, "predict": stream, "batch_size": 8, "num_workers": workers}
    ran = cli("fit", "--config", tiny({"data": data, "evaluation": {"every_n_epochs": 1}}))
    assert ran.code == 0, ran.err
    for stage in ("validate", "test", "predict"):
        ran = cli(stage, "--ckpt_path", "experiments/tiny")
        assert ran.code == 0, ran.err
    results = tmp_path / "experiments/tiny/eval"
    metrics = [json.loads((results / stage / "metrics.json").read_text()) for stage in ("validate", "test")]
    assert metrics[0] == metrics[1] == json.loads((results / "epoch_0000/metrics.json").read_text())
    for stage in ("epoch_0000", "validate", "test", "predict"):
        assert len((results / stage / "samples.csv").read_text().splitlines()) == 1 + 20, stage


@pytest.mark.parametrize(("stream", "workers"), [(IndexStream, 1), (ShardedIndexStream, 2)])
def test_evaluation_has_each_sample_once(stream: type[IndexStream], workers: int) -> None:
    loader = build_loader(stream(10), "data.eval", 4, 0, False, num_workers=2)
    assert loader.num_workers == workers
    assert sorted(label for batch in loader for label in batch["label"].tolist()) == list(range(10))


@pytest.mark.parametrize(
    ("stream", "split", "workers", "world_size", "effect"),
    [
        (IndexStream, "train", 2, 3, "6 processes load it, and unless it divides its samples, an epoch has"),
        (IndexStream, "train", 0, 2, "2 processes load it, and unless it divides its samples, an epoch has"),
        (IndexStream, "eval", 2, 1, "it is read by one of 2 workers, since each would read all samples"),
        (IndexStream, "train", 1, 1, None),
        (IndexStream, "eval", 1, 1, None),
        (ShardedIndexStream, "train", 2, 2, None),
        (ShardedIndexStream, "eval", 2, 1, None),
    ],
)
def test_stream_that_is_read_repeatedly_is_warned_of_once(
    stream: Any, split: str, workers: int, world_size: int, effect: str | None, messages: list[str]
) -> None:
    data = DataModule(train=stream, eval={"": stream}, batch_size=6, num_workers=workers, pin_memory=False)
    data.trainer = cast(pl.Trainer, SimpleNamespace(world_size=world_size, global_rank=0))
    for _ in range(2):
        data._loaders(split)
    warnings = [message for message in messages if "`is_sharded = True`" in message]
    assert len(warnings) == (effect is not None)
    assert all(f"data.{split} (IndexStream) is iterable: {effect}" in warning for warning in warnings)


def test_evaluation_of_an_endless_stream_ends_at_its_length(messages: list[str]) -> None:
    loader = build_loader(AnnouncedIndexStream(10**9, 5), "data.eval", 2, 0, False)
    assert [batch["label"].tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]]
    assert messages == ["data.eval (AnnouncedIndexStream) has more than its 5 samples: the rest is not used"]
    with pytest.raises(ConfigError, match=r"^evaluation.max_samples does not work with data.eval \(AnnouncedIndex"):
        build_loader(AnnouncedIndexStream(10, 5), "data.eval", 2, 0, False, max_samples=3)


def test_fraction_of_an_evaluation_needs_the_length(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    stream = {"type": "tests.core.components.AnnouncedIndexStream", "length": 20, "announced": 16}
    assert cli("fit", "--config", tiny()).code == 0
    argv = ("--config", tiny({"base": [], "data": {"eval": stream, "batch_size": 2}}, "over.yaml"))
    ran = cli("test", "--ckpt_path", "experiments/tiny", *argv, "--trainer.limit_test_batches", "0.5")
    assert ran.code == 0, ran.err
    assert len((tmp_path / "experiments/tiny/eval/test/samples.csv").read_text().splitlines()) == 1 + 8


def test_evaluation_without_samples_is_refused() -> None:
    for announced in (None, 0, 8):
        with pytest.raises(ConfigError, match=r"^data.eval \(AnnouncedIndexStream\) has no samples$"):
            list(build_loader(AnnouncedIndexStream(0, announced), "data.eval", 2, 0, False))


@pytest.mark.parametrize("workers", [0, 1])
def test_stream_of_which_nothing_is_left_starts_again(workers: int) -> None:
    """Ten samples in batches of three: after three batches, one sample is left."""
    training = Training()
    loader = stream_loader(workers, training)
    loader.load_state_dict({"taken": 9, "dataset": {"next": 9}})
    assert [batch["label"].tolist() for batch in loader] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_error_names_the_sample() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        list(build_loader(BrokenStream(), "data.train", 1, 0, True))
    assert caught.value.__notes__ == ["raised in data.train (BrokenStream), sample 2"]


@pytest.mark.parametrize(
    ("stream", "workers", "problem"),
    [
        ("components.IndexStream", "0", "has no state_dict and load_state_dict"),
        ("random_components.NoisyStream", "2", "is read by several processes"),
        pytest.param("random_components.NoisyStream", "1", None, marks=pytest.mark.slow),
    ],
)
def test_stream_that_cannot_be_resumed_exactly_is_warned_of_once(
    stream: str, workers: str, problem: str | None, cli: Cli, tiny: Callable[..., str]
) -> None:
    argv = ["--data.train", f"tests.core.{stream}", "--data.batch_size", "2", "--data.num_workers", workers]
    ran = cli("fit", "--config", tiny(), *argv)
    assert ran.code == 0, ran.err
    name = stream.rpartition(".")[2]
    warning = f"data.train ({name}) is iterable and {problem}: resuming within an epoch is not exact"
    assert ran.err.count(warning) == (problem is not None)
    assert ran.err.count("is iterable and") == (problem is not None)

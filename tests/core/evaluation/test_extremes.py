"""samples/ has a picture of each of the 12 worst and 12 best samples, drawn from that sample alone."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from project import load
from project.core.config.terms import VisualTerm
from project.core.evaluation import extremes
from project.core.evaluation.extremes import Extremes, ExtremeSamples
from project.visuals.base import Visual
from tests.components import Glyphs, Row
from tests.conftest import Cli, slow_except

NAN, INF = float("nan"), float("inf")


class Value(Visual):
    """Visual whose picture is the value of a sample, and which cannot draw several."""

    def __call__(self, value: Tensor) -> Tensor:
        """Draw `value` (1,)."""
        assert len(value) == 1
        return torch.full((3, 1, 1), int(value), dtype=torch.uint8)


class Pairs(Visual):
    """Visual that needs two samples."""

    def __call__(self, value: Tensor) -> Tensor:
        """Draw `value` (B,)."""
        return torch.full((3, 1, 1), int(value[1]), dtype=torch.uint8)


def evaluate(callback: ExtremeSamples, losses: list[list[float]], indices: list[list[int]], rank: int = 0) -> Any:
    """Have a callback evaluate batches of samples whose value is their index; return the trainer."""
    trainer: Any = SimpleNamespace(world_size=1, global_rank=rank, is_global_zero=rank == 0, datamodule=None)
    for split in ("val", "test", "predict"):
        setattr(trainer, f"num_{split}_batches", [1])
    module: Any = SimpleNamespace(loss_terms={"other": None, "loss": None, "second": None})
    for values, numbers in zip(losses, indices, strict=True):
        batch = {"index": torch.tensor(numbers), "value": torch.tensor(numbers)}
        columns = {"second": -torch.tensor(values), "loss": torch.tensor(values)}
        callback.on_test_batch_end(trainer, module, {"output": {}, "columns": columns}, batch, 0)
    return trainer


def pick(values: list[int], positions: list[int]) -> list[int]:
    """Return the values at some positions."""
    return [values[position] for position in positions]


@pytest.mark.parametrize("stage", slow_except(["test", "validate"], "test"))
def test_worst_and_best_samples_are_drawn(
    stage: Literal["test", "validate"], cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny({"visual": "tests.components.Row"})).code == 0
    results = tmp_path / "experiments/tiny/eval" / stage
    (results / "samples").mkdir(parents=True)
    for name in ("999999.png", "mine.png"):  # of an earlier evaluation, and another file
        (results / "samples" / name).touch()
    assert cli(stage, "--ckpt_path", "experiments/tiny").code == 0
    rows = sorted(csv.DictReader((results / "samples.csv").open()), key=lambda row: float(row["cross_entropy"]))
    expected = {f"{int(row['index']):06d}.png" for row in rows[:12] + rows[-12:]}
    assert {path.name for path in (results / "samples").iterdir()} == expected | {"mine.png"}
    index = int(rows[-1]["index"])
    batch = Glyphs("test" if stage == "test" else "val").__getitems__([index])
    with torch.no_grad():
        logits = load(tmp_path / "experiments/tiny")(batch)["logits"]
    picture = (Row()(batch["image"], batch["label"], logits) * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(np.array(Image.open(results / f"samples/{index:06d}.png")), picture)


def test_ties_and_odd_losses_are_ordered() -> None:
    """NaN is worse than infinity, and equal losses go by index, whatever the order of the batches."""
    losses = [5.0, NAN, 1.0, INF, 1.0, -INF, NAN, *[2.0] * 20]
    expected = {True: [1, 6, 3, 0, *range(7, 15)], False: [5, 2, 4, *range(7, 16)]}
    for order in (range(27), reversed(range(27)), [*range(13, 27), *range(13)]):
        positions = [*order]
        for is_worst, indices in expected.items():
            kept = Extremes(is_worst)
            for part in (positions[:4], positions[4:20], positions[20:]):
                values = np.array([losses[position] for position in part])
                kept.add(values, np.array(part), partial(pick, part))
            assert kept.indices.tolist() == kept.samples == indices


def test_pictures_of_several_batches_are_those_of_their_samples(tmp_path: Path) -> None:
    callback = ExtremeSamples(tmp_path, {"": VisualTerm(Value())})
    indices = np.random.default_rng(0).permutation(200).reshape(10, 20).tolist()
    trainer = evaluate(callback, [[float(index) for index in row] for row in indices], indices)
    callback.on_test_end(trainer, None)  # type: ignore[arg-type]
    drawn = {int(path.stem): int(np.array(Image.open(path))[0, 0, 0]) for path in (tmp_path / "samples").iterdir()}
    assert drawn == {index: index for index in [*range(12), *range(188, 200)]}


def test_processes_draw_what_one_would(tmp_path: Path) -> None:
    """Each process, here a thread, has a share of the samples; the first one draws those of all."""
    indices, barrier, shared = [*range(100)], Barrier(2), [None, None]

    def gather(trainer: Any, value: Any) -> list[Any]:
        barrier.wait()
        shared[trainer.global_rank] = value
        barrier.wait()
        return [*shared]

    def run(rank: int) -> None:
        callback, share = ExtremeSamples(tmp_path, {"": VisualTerm(Value())}), indices[rank::2]
        trainer = evaluate(callback, [[float(index % 50) for index in share]], [share], rank)
        trainer.world_size = 2
        callback.on_test_end(trainer, None)  # type: ignore[arg-type]

    with patch.object(extremes, "_all_gather", gather), ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(2)))
    drawn = {int(path.stem): int(np.array(Image.open(path))[0, 0, 0]) for path in (tmp_path / "samples").iterdir()}
    assert drawn == {index: index for index in indices if index % 50 < 6 or index % 50 > 43}


@pytest.mark.parametrize("case", ["no visual", "no loss", "one is too few"])
def test_nothing_is_drawn(case: str, tmp_path: Path, messages: list[str]) -> None:
    visuals = {} if case == "no visual" else {"x": VisualTerm(Pairs() if case == "one is too few" else Value())}
    callback = ExtremeSamples(tmp_path, visuals)
    if case == "no loss":
        with patch.object(extremes, "_first_loss", lambda *_: None):
            trainer = evaluate(callback, [[1.0]], [[0]])
    else:
        trainer = evaluate(callback, [[1.0]], [[0]])
    callback.on_test_end(trainer, None)  # type: ignore[arg-type]
    assert not [*tmp_path.iterdir()]
    assert any("visual.x (Pairs) cannot draw one sample" in text for text in messages) == (case == "one is too few")

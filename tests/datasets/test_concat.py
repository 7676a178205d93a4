"""Concat has the samples of all parts, whose batches and names it joins."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from project.datasets.concat import Concat
from project.datasets.fold import Fold
from project.datasets.named import Named
from project.registry import ConfigError
from tests.components import Glyphs
from tests.conftest import Cli
from tests.datasets.balanced import BalancedGlyphs
from tests.datasets.test_epochs import Argument, BatchArgument, Method
from tests.datasets.test_views import Batched, Numbered, evaluated


class Unsorted(Numbered):
    """Dataset whose `collate` is its own."""

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {}


class Listed:
    """Dataset whose `__getitems__` returns a list of samples."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"value": torch.tensor(index)}

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        return [self[index] for index in indices]


def concat(*parts: Any) -> Concat:
    return Concat([*parts])


def test_batch_has_the_rows_of_all_parts_in_the_order_asked_for() -> None:
    parts = Glyphs("val"), Glyphs("test")
    joined = concat(*parts)
    indices = [300, 2, 266, 267, 2]
    batch = joined.__getitems__(indices)
    expected = [parts[part][index] for part, index in ((1, 33), (0, 2), (0, 266), (1, 0), (0, 2))]
    for name in ("image", "label"):
        assert torch.equal(batch[name], torch.stack([sample[name] for sample in expected]))
        assert torch.equal(batch[name], torch.stack([joined[index][name] for index in indices]))
    assert torch.equal(evaluated(concat(Listed(), Listed()))["value"], torch.tensor([0, 1, 2, 0, 1, 2]))


def test_names_say_the_part_and_indices_are_those_of_the_whole() -> None:
    joined = concat(Numbered(), Numbered())
    batch = evaluated(concat(Numbered(), Subset2()))
    assert batch["index"].tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert [joined.name(index) for index in (0, 6, 7)] == ["0/sample 0", "0/sample 6", "1/sample 0"]
    assert torch.as_tensor(joined.labels).tolist() == [*Numbered.labels, *Numbered.labels]
    assert (joined.classes, joined.num_classes, joined.scale) == (("a", "b", "c"), 3, (0.5, 2.0))


class Subset2(Numbered):
    """The same dataset with two samples."""

    def __len__(self) -> int:
        return 2


def test_order_has_the_samples_that_each_part_orders() -> None:
    part, plain = BalancedGlyphs("val"), Glyphs("test")
    joined = concat(plain, part)
    order = joined.order(0, 1)
    assert sorted(order) == sorted([*range(261), *(261 + index for index in part.order(0, 1))])
    assert order != joined.order(0, 2)
    assert order[:20] != sorted(order[:20])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: concat(), "Concat.parts is empty"),
        (lambda: concat(Numbered(), Unsorted()), "Concat: `collate` of parts.1 is "),
        (lambda: concat(Numbered(), Listed()), "Concat: `collate` of parts.1 is None"),
        (lambda: concat(Batched(), Batched()).__getitems__([3, 4]), "Concat: `__getitems__` of parts.0 (Batched) must"),
        (
            lambda: concat(Listed(), Glyphs("val")).__getitems__([0, 3]),
            "Concat: a sample of parts.1 is {'image': (1, 8, 8), 'label': ()}, but one of parts.0 is ",
        ),
    ],
    ids=["no parts", "two collates", "one collate", "dropped rows", "other names"],
)
def test_parts_that_do_not_fit_are_told(build: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value).startswith(message)


def test_parts_of_other_classes_are_told() -> None:
    other = Numbered()
    other.classes = ("b", "a", "c")
    with pytest.raises(
        ConfigError, match=r"`classes` of parts.1 .* they must be equal; list all of them in each part$"
    ):
        concat(Numbered(), other)


@pytest.mark.parametrize("make", [Argument, BatchArgument, Method])
def test_epoch_reaches_a_dataset_inside_others(make: Any) -> None:
    named = [Named(Fold(make(), k=2, fold=0, part=part), ["epoch"]) for part in ("train", "val")]
    for joined in (concat(*named), concat(make(), make())):
        for epoch in (3, 4):
            joined.set_epoch(epoch)
            assert joined[3]["epoch"] == epoch
            if hasattr(joined, "__getitems__"):
                assert joined.__getitems__([3])["epoch"].tolist() == [epoch]


def test_config_and_results_of_a_run_contain_the_datasets_inside(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    """The stage `test` reads the datasets from the checkpoint's config, and finds the names of the chosen samples."""
    named = {"type": "tests.core.components.NamedSamples"}
    parts = [
        {"type": "Subset", "indices": [3, 8], "dataset": named},
        {"type": "Fold", "k": 2, "fold": 1, "part": "val", "stratify": True, "dataset": named | {"length": 4}},
    ]
    config = tiny({"data": {"val": None, "eval": {"type": "Concat", "parts": parts}}})
    assert cli("fit", "--config", config).code == 0
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    assert ran.code == 0, ran.err
    assert "reading the labels of 4 samples" in ran.err
    rows = list(csv.DictReader((tmp_path / "experiments/tiny/eval/test/samples.csv").open()))
    assert [row["name"] for row in rows][:2] == ["0/odd/3", "0/even/8"]
    assert {row["name"][:2] for row in rows[2:]} == {"1/"}
    assert [row["target"] for row in rows] == [row["name"][-1] for row in rows]


def test_attribute_that_differs_between_the_parts_is_none() -> None:
    other = Numbered()
    other.scale = (1.0, 2.0)
    assert not hasattr(concat(Numbered(), other), "scale")

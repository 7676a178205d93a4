"""Subset and Fold choose samples of a dataset, which keep their values, names, labels and order."""

from typing import Any

import pytest
import torch
from torch import Tensor

from project.core.data.loading import build_loader
from project.datasets.base import Numbers, Picture
from project.datasets.concat import Concat
from project.datasets.fold import Fold
from project.datasets.named import Named
from project.datasets.subset import Subset
from project.registry import ConfigError
from tests.core.components import IndexStream
from tests.datasets.balanced import BalancedGlyphs


class Numbered:
    """Dataset whose samples, names and batches say their index."""

    labels = (0, 1, 1, 2, 2, 2, 2)
    classes = ("a", "b", "c")
    scale = (0.5, 2.0)
    targets = range(7)

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"value": torch.tensor(index), "index": torch.tensor(index)}

    def name(self, index: int) -> str:
        return f"sample {index}"

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([sample[name] for sample in reversed(samples)]) for name in samples[0]}


class Batched(Numbered):
    """The same with `__getitems__`, which drops the sample 4."""

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        kept = torch.tensor([index for index in indices if index != 4])
        return {"value": kept, "index": kept}


def evaluated(dataset: Any) -> Any:
    """Return the only batch of an evaluation."""
    (batch,) = build_loader(dataset, "here", 10, seed=0, is_training=False)
    return batch


def test_rows_names_labels_and_classes_are_those_of_the_chosen_samples() -> None:
    """Also if a batch has its own `index`: it is that of the view, by which samples.csv asks for the name."""
    for dataset in (Numbered(), Batched()):
        view = Subset(dataset, indices=[5, 4, 0])  # type: ignore[arg-type]
        batch = evaluated(view)
        values = batch["value"].tolist()
        assert values == ([0, 4, 5] if type(dataset) is Numbered else [5, 0])
        assert [view.name(index) for index in batch["index"].tolist()] == [f"sample {value}" for value in values]
        assert torch.as_tensor(view.labels).tolist() == [2, 2, 0]
        assert (view.classes, view.num_classes, view.scale) == (("a", "b", "c"), 3, (0.5, 2.0))
        assert not hasattr(view, "targets")  # of all samples
    repeated = evaluated(Subset(Batched(), indices=[3, 3, 1]))  # type: ignore[arg-type]
    assert (repeated["value"].tolist(), repeated["index"].tolist()) == ([3, 3, 1], [0, 1, 2])


def test_number_of_classes_is_that_of_a_dataset_without_names_of_classes() -> None:
    """A net would have as many outputs as there are names."""
    data = Numbered()
    data.__dict__ |= {"classes": (), "num_classes": 3}
    inside: Any = data
    for dataset in (Subset(inside, [0]), Named(inside, ["label"]), Concat([inside, Subset(inside, [0])])):
        assert dataset.num_classes == 3


def test_raw_inputs_are_those_of_the_dataset() -> None:
    """Concat has those that all parts have; Named those whose dtype it keeps, under their new names."""
    pictures: Any = Numbered()
    pictures.raw = {"value": Picture(1, 8), "mask": Numbers((None,), "bool"), "tokens": Numbers((2,), "int32")}
    other: Any = Numbered()
    other.raw = pictures.raw | {"value": Picture(1, None)}
    assert Subset(pictures, [0, 1, 2, 3, 4, 5, 6]).raw == pictures.raw
    assert Subset(Subset(pictures, [0, 1, 2]), [2]).raw == pictures.raw  # as many as there are samples
    assert Fold(pictures, k=2, fold=0, part="val").raw == pictures.raw
    assert Concat([pictures, Subset(pictures, [0])]).raw == pictures.raw
    assert Concat([pictures, other]).raw.keys() == {"mask", "tokens"}
    unsaid: Any = Numbered()
    assert Concat([pictures, unsaid]).raw == Named(unsaid, ["value"]).raw == {}
    assert not hasattr(Subset(unsaid, [0]), "raw")
    assert Named(pictures, {"value": "image", "tokens": "tokens"}).raw == {"image": Picture(1, 8)}
    assert Named(pictures, ["value", "mask"]).raw == {name: pictures.raw[name] for name in ("value", "mask")}


def test_attribute_that_is_called_name_is_no_method() -> None:
    """It is that of the whole dataset; samples.csv asks a method for the names of its samples."""
    data: Any = Numbered()
    data.name = "photographs"
    around: list[Any] = [Subset(data, [0]), Named(data, ["label"]), Concat([data, data])]
    assert [dataset.name for dataset in around] == ["photographs"] * 3


def test_view_lacks_what_the_dataset_lacks() -> None:
    """The engine asks with hasattr."""
    view = Subset([0, 1, 2], fraction=1.0)  # type: ignore[arg-type]
    assert not any(
        hasattr(view, name) for name in ("__getitems__", "collate", "name", "order", "labels", "num_classes")
    )


def test_order_has_the_samples_of_the_view_as_often_as_the_dataset() -> None:
    glyphs = BalancedGlyphs("val")
    view = Subset(glyphs, indices=[3, 200, 7])
    order = [(3, 200, 7)[index] for index in view.order(0, 1)]
    assert order == [index for index in glyphs.order(0, 1) if index in (3, 200, 7)]


def test_larger_fraction_contains_a_smaller_one() -> None:
    glyphs = BalancedGlyphs("val")
    tenth, half = (Subset(glyphs, fraction=fraction).indices for fraction in (0.1, 0.5))
    assert (len(tenth), len(half)) == (27, 134)
    assert set(tenth) < set(half)
    assert set(tenth) != set(Subset(glyphs, fraction=0.1, seed=1).indices)


@pytest.mark.parametrize("stratify", [False, True])
def test_validation_parts_of_the_folds_divide_the_samples(stratify: bool) -> None:
    """Training parts are the complements, stratified folds differ by one sample of a class, and sizes by one."""
    glyphs = BalancedGlyphs("val")
    parts = [
        [Fold(glyphs, k=4, fold=fold, part=part, stratify=stratify) for part in ("train", "val")] for fold in range(4)
    ]
    assert sorted(index for _, val in parts for index in val.indices) == list(range(267))
    assert all(sorted([*train.indices, *val.indices]) == list(range(267)) for train, val in parts)
    assert {len(val) for _, val in parts} == {66, 67}
    counts = torch.stack([glyphs.label[val.indices].bincount(minlength=10) for _, val in parts])
    assert bool((counts.amax(0) - counts.amin(0) <= 1).all()) == stratify
    other = Fold(glyphs, k=4, fold=0, part="val", stratify=stratify, seed=1)
    assert set(other.indices) != set(parts[0][1].indices)


def test_folds_never_change() -> None:
    """A library that draws other numbers would move samples from the validation to the training of a resumed run."""
    assert Fold(Numbered(), k=3, fold=0, part="val").indices.tolist() == [1, 3, 5]  # type: ignore[arg-type]
    stratified = Fold(Numbered(), k=3, fold=0, part="val", stratify=True)  # type: ignore[arg-type]
    assert stratified.indices.tolist() == [0, 3, 5]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Subset(BalancedGlyphs("val")), "Subset needs either `indices` or `fraction`"),
        (lambda: Subset(BalancedGlyphs("val"), [1], 0.5), "Subset needs either `indices` or `fraction`"),
        (
            lambda: Subset(BalancedGlyphs("val"), [0, 267]),
            "Subset: 267 is in `indices`, but BalancedGlyphs has only 267 samples",
        ),
        (
            lambda: Fold(Numbered(), k=9, fold=0, part="val"),  # type: ignore[arg-type]
            "Fold: k is 9, but Numbered has only 7 samples",
        ),
        (
            lambda: Subset(IndexStream(), fraction=0.5),  # type: ignore[arg-type]
            "Subset needs a dataset with `__len__` and `__getitem__`, unlike IndexStream",
        ),
    ],
    ids=["neither", "both", "index", "too few", "iterable"],
)
def test_wrong_arguments_are_told(build: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()
    assert str(caught.value) == message

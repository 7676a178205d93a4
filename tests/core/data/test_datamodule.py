"""The data module builds datasets when needed, and serves single, named and iterable datasets to all stages."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from project.core.data.datamodule import DataModule
from project.core.errors import ConfigError
from project.registry import Dataset, Transform
from tests.components import Glyphs
from tests.conftest import Cli
from tests.core.components import IndexImages, IndexStream

TWO_DATASETS = {
    "type": None,
    "one": {"type": "tests.components.Glyphs", "split": "val"},
    "two": {"type": "tests.components.Glyphs", "split": "test"},
}


def test_datasets_are_built_once_when_needed() -> None:
    built: list[str] = []

    def make(split: str) -> Dataset:
        built.append(split)
        return IndexImages()

    data = DataModule(train=lambda: make("train"), val={"": lambda: make("val")}, batch_size=2)
    assert built == []
    data.train_dataloader()
    data.train_dataloader()
    assert built == ["train"]
    assert len(data.val_dataloader()) == 1
    assert built == ["train", "val"]


@pytest.mark.parametrize("dataset", [IndexImages, IndexStream])
def test_transforms_of_batches_apply_only_to_training_batches(dataset: Callable[[int], Dataset]) -> None:
    def double(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return batch | {"image": 2 * batch["image"], "size": torch.tensor(len(batch["image"]))}

    make: Callable[[], Dataset] = partial(dataset, 4)
    one = {"": make}
    data = DataModule(
        make, one, one, one, {"first": cast(Transform, double), "again": cast(Transform, double)}, batch_size=2
    )
    plain = DataModule(make, batch_size=2)
    for batch, expected in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(batch["image"], 4 * expected["image"])
        assert batch["size"] == 2
    for loader in (*data.val_dataloader(), *data.test_dataloader(), *data.predict_dataloader()):
        assert all("size" not in batch for batch in loader)


@pytest.mark.parametrize(("workers", "warnings"), [(0, 1), (1, 0)])
def test_prefetching_without_workers_is_warned_of(workers: int, warnings: int, messages: list[str]) -> None:
    DataModule(train=IndexImages, num_workers=workers, prefetch_factor=4)
    expected = "data.prefetch_factor has no effect: data.num_workers is 0, so no worker prefetches"
    assert messages == [expected] * warnings


@pytest.mark.parametrize("first", ["train_dataloader", "val_dataloader"])
def test_label_that_means_another_class_than_in_training_is_warned_of(first: str, messages: list[str]) -> None:
    """A validation set that lacks a directory of the training set numbers the other classes otherwise."""

    class Classes(IndexImages):
        def __init__(self, *classes: str) -> None:
            super().__init__()
            self.classes = classes

    val: dict[str, Callable[[], Dataset]] = {
        "few": lambda: Classes("a", "b"),
        "other": lambda: Classes("a", "c"),
        "none": Classes,
    }
    data = DataModule(lambda: Classes("a", "b", "c"), val)
    for loaders in (first, "val_dataloader", "train_dataloader"):
        getattr(data, loaders)()
    assert messages == [
        "label 1 is 'b' in data.train, but 'c' in data.val.other, so metrics of it are wrong\n"
        "Give both datasets the same classes in the same order, as with classes: ${data.classes}"
    ]


def test_training_set_of_one_class_is_warned_of_once(messages: list[str]) -> None:
    """A directory of pictures that is given one level too high has one class."""

    class OneClass(IndexImages):
        classes = ("train",)

    data = DataModule(OneClass, {"": OneClass})
    for loaders in ("val_dataloader", "train_dataloader", "train_dataloader"):
        getattr(data, loaders)()
    assert messages == ["data.train (OneClass) has only one class, 'train': there is nothing to tell it from"]


@pytest.mark.parametrize(
    ("loaders", "split"), [("val_dataloader", "val"), ("test_dataloader", "eval"), ("predict_dataloader", "predict")]
)
def test_missing_split_is_an_error(loaders: str, split: str) -> None:
    data = DataModule(train=IndexImages)
    with pytest.raises(ConfigError, match=rf"^data\.{split} is not set; this stage needs it$"):
        getattr(data, loaders)()


def test_predict_uses_eval_unless_set() -> None:
    data = DataModule(eval={"a": IndexImages, "b": IndexImages})
    assert data.dataset_names("predict") == ["a", "b"]
    assert DataModule(eval={"a": IndexImages}, predict={"": IndexImages}).dataset_names("predict") == [""]


def test_eval_dataloaders_can_be_limited_to_the_first_samples() -> None:
    data = DataModule(eval={"a": lambda: IndexImages(5), "b": lambda: IndexImages(2)}, batch_size=2)
    indices = [[batch["index"].tolist() for batch in loader] for loader in data.eval_dataloaders(3)]
    assert indices == [[[0, 1], [2]], [[0, 1]]]
    assert [len(loader) for loader in data.eval_dataloaders(None)] == [3, 1]


def test_training_batch_must_be_divisible_by_the_devices() -> None:
    data = DataModule(train=IndexImages, eval={"": IndexImages}, batch_size=3)
    trainer = cast(pl.Trainer, SimpleNamespace(num_devices=2, num_nodes=2))
    with pytest.raises(ConfigError, match=r"^data\.batch_size is 3; training needs one divisible by 4 devices$"):
        data.check("train", trainer)
    data.check("eval", trainer)
    with pytest.raises(ConfigError, match=r"^data\.val is not set"):
        data.check("val", trainer)


def test_workers_persist_and_prefetch() -> None:
    data = DataModule(train=lambda: Glyphs("val"), batch_size=4, num_workers=2, prefetch_factor=3, pin_memory=True)
    loader = data.train_dataloader()
    settings = (loader.num_workers, loader.persistent_workers, loader.prefetch_factor, loader.pin_memory)
    assert settings == (2, True, 3, True)
    assert DataModule(train=lambda: Glyphs("val"), batch_size=4).train_dataloader().persistent_workers is False


def test_fit_needs_no_validation_and_other_stages_report_a_missing_split(
    cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    assert cli("fit", "--config", tiny({"data": {"val": None}})).code == 0
    checkpoints = tmp_path / "experiments/tiny/checkpoints"
    assert (checkpoints / "best.ckpt").samefile(checkpoints / "last.ckpt")
    for argv, split in ((["validate"], "val"), (["test", "--data.eval", "null"], "eval")):
        ran = cli(*argv, "--ckpt_path", "experiments/tiny")
        assert (ran.code, ran.err.splitlines()[-1]) == (2, f"error: data.{split} is not set; this stage needs it")


def test_several_datasets_have_separate_metrics_and_results(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    monitor = {"monitor": "val/two/accuracy", "mode": "max"}
    config = tiny({"data": {"val": TWO_DATASETS, "eval": TWO_DATASETS}, "checkpoint": monitor})
    assert cli("fit", "--config", config).code == 0
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    assert "eval/one/accuracy" in ran.out
    results = tmp_path / "experiments/tiny/eval/test"
    tables = sorted(path.relative_to(results).as_posix() for path in results.rglob("*.csv"))
    assert tables == ["one/samples.csv", "two/samples.csv"]
    assert len((results / "two/samples.csv").read_text().splitlines()) == 1 + len(Glyphs("test"))


def test_dataset_may_contain_another(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    inner = "{type: tests.components.Glyphs, split: val}"
    (tmp_path / "over.yaml").write_text(
        f"data: {{eval: {{type: tests.core.components.RepeatedTwice, inner: {inner}}}}}\n"
    )
    ran = cli("fit", "--config", tiny(), "--config", "over.yaml")
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    rows = (tmp_path / "experiments/tiny/eval/test/samples.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(Glyphs("val"))


def test_data_module_need_not_derive_from_the_engines(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    data = {"type": "tests.core.components.TwoLoaders", "sizes": [4, 6]}
    ran = cli("fit", "--config", tiny({"data": data, "visual": "tests.components.Row"}))
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    ran = cli("predict", "--ckpt_path", "experiments/tiny")
    assert ran.code == 0, ran.err
    run = tmp_path / "experiments/tiny"
    assert [len((run / f"eval/test/{i}/samples.csv").read_text().splitlines()) for i in (0, 1)] == [5, 7]
    metrics = json.loads((run / "eval/test/metrics.json").read_text())
    assert {"0/cross_entropy", "1/cross_entropy"} <= metrics.keys()
    assert sorted(path.name for path in (run / "progress/val").iterdir()) == ["0", "1"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_iterable_datasets_train_and_evaluate(workers: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    stream = {"type": "tests.core.components.IndexStream"}
    config = tiny({"data": {"batch_size": 2, "train": stream, "val": stream, "eval": stream}})
    argv = ["--data.train.length", "10", "--data.num_workers", workers]
    ran = cli("fit", "--config", config, *argv)
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny", "--data.num_workers", "0").code == 0
    rows = (tmp_path / "experiments/tiny/eval/test/samples.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["index", *map(str, range(10))]

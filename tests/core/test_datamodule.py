import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project.core.datamodule import DataModule
from project.core.errors import ConfigError
from tests.conftest import Cli
from tests.core.rooms import Counted
from tests.rooms import Glyphs


def test_datasets_are_built_when_they_are_needed() -> None:
    built: list[str] = []

    def make(split: str) -> Any:
        built.append(split)
        return Counted()

    data = DataModule(train=lambda: make("train"), val={"": lambda: make("val")}, batch_size=2)
    assert built == []
    data.train_dataloader()
    data.train_dataloader()
    assert built == ["train"]
    assert len(data.val_dataloader()) == 1


@pytest.mark.parametrize("part", ["val", "test", "predict"])
def test_a_set_that_is_absent(part: str) -> None:
    data = DataModule(train=Counted)
    missing = "eval" if part == "test" else part
    with pytest.raises(ConfigError, match=f"data.{missing} is not set"):
        getattr(data, f"{part}_dataloader")()


def test_predict_takes_eval_unless_it_is_set() -> None:
    data = DataModule(eval={"a": Counted, "b": Counted})
    assert data.set_names("predict") == ["a", "b"]
    assert DataModule(eval={"a": Counted}, predict={"": Counted}).set_names("predict") == [""]


@pytest.mark.parametrize(("argument", "value"), [("batch_size", -1), ("num_workers", -1)])
def test_numbers_that_cannot_be(argument: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"data.{argument} is {value}; it must be at least"):
        DataModule(**{argument: value})


def test_workers_persist_and_prefetch() -> None:
    data = DataModule(train=lambda: Glyphs("val"), batch_size=4, num_workers=2, prefetch_factor=3, pin_memory=True)
    loader = data.train_dataloader()
    assert (loader.num_workers, loader.persistent_workers, loader.prefetch_factor, loader.pin_memory) == (
        2,
        True,
        3,
        True,
    )
    assert DataModule(train=lambda: Glyphs("val"), batch_size=4).train_dataloader().persistent_workers is False


def test_without_validation(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    assert cli("fit", "--config", tiny({"data": {"val": None}})).code == 0
    run = tmp_path / "experiments/tiny/checkpoints"
    assert (run / "best.ckpt").samefile(run / "last.ckpt")
    ran = cli("validate", "--ckpt_path", "experiments/tiny")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: data.val is not set, so this stage has nothing to work on",
    )
    ran = cli("test", "--ckpt_path", "experiments/tiny", "--data.eval", "null")
    assert (ran.code, ran.err.splitlines()[-1]) == (
        2,
        "error: data.eval is not set, so this stage has nothing to work on",
    )


def test_several_sets(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    sets = {
        "type": None,
        "one": {"type": "tests.rooms.Glyphs", "split": "val"},
        "two": {"type": "tests.rooms.Glyphs", "split": "test"},
    }
    config = tiny({"data": {"val": sets, "eval": sets}, "checkpoint": {"monitor": "val/two/accuracy", "mode": "max"}})
    assert cli("fit", "--config", config).code == 0
    ran = cli("test", "--ckpt_path", "experiments/tiny")
    assert "eval/one/accuracy" in ran.out
    results = tmp_path / "experiments/tiny/eval/test"
    assert sorted(path.relative_to(results).as_posix() for path in results.rglob("*.csv")) == [
        "one/samples.csv",
        "two/samples.csv",
    ]
    assert len((results / "two/samples.csv").read_text().splitlines()) == 1 + len(Glyphs("test"))


def test_a_dataset_that_holds_another(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "over.yaml").write_text(
        "data: {eval: {type: tests.core.rooms.Doubled, inner: {type: tests.rooms.Glyphs, split: val}}}\n"
    )
    ran = cli("fit", "--config", tiny(), "--config", "over.yaml")
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny").code == 0
    rows = (tmp_path / "experiments/tiny/eval/test/samples.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(Glyphs("val"))


def test_a_data_module_of_the_owners(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    data = {"type": "tests.core.rooms.OwnData", "sizes": [4, 6]}
    ran = cli("fit", "--config", tiny({"data": data, "visual": "tests.rooms.Row"}))
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
def test_iterable_datasets(workers: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    stream = {"type": "tests.core.rooms.Stream"}
    config = tiny({"data": {"batch_size": 2, "train": stream, "val": stream, "eval": stream}})
    argv = ["--data.train.length", "10", "--data.num_workers", workers]
    ran = cli("fit", "--config", config, *argv)
    assert ran.code == 0, ran.err
    assert cli("test", "--ckpt_path", "experiments/tiny", "--data.num_workers", "0").code == 0
    rows = (tmp_path / "experiments/tiny/eval/test/samples.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["index", *map(str, range(10))]

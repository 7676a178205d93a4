"""The end of the training data is the end of the epoch, whatever number of batches was announced."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from project.core.data.loading import build_loader
from project.core.training.lightning_internals import loops
from project.core.training.lightning_internals.fetching import has_exact_length
from tests.conftest import Cli, slow_except
from tests.core.components import CustomCollateAndOrder, IndexImages, IndexStream
from tests.core.run.test_exact_resume import RANDOM, STREAM
from tests.exactness import curves, differing, outcome

NO_LENGTH: dict[str, Any] = RANDOM | {
    "data": RANDOM["data"] | {"train": STREAM},
    "trainer": RANDOM["trainer"] | {"max_epochs": 3},
    "checkpoint": {"every_n_epochs": 1, "keep": -1, "monitor": "val/sum"},
}
Fit = Callable[..., Path]


@pytest.fixture
def fit(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> Fit:
    """Return a function that trains on a stream of five batches and returns the run directory, with err.txt."""

    def run(name: str, *overs: dict[str, Any]) -> Path:
        argv = [word for i, over in enumerate(overs) for word in ("--config", tiny({"base": []} | over, f"{i}.yaml"))]
        ran = cli("fit", "--config", tiny(NO_LENGTH), *argv, "--name", name)
        assert ran.code == 0, ran.err
        (tmp_path / "experiments" / name / "err.txt").write_text(ran.err)
        return tmp_path / "experiments" / name

    return run


def names_of(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "accumulated batches": {"trainer": {"accumulate_grad_batches": 2}},
    "Lightning's step": {},
    "Lightning's step, accumulated batches": {"trainer": {"accumulate_grad_batches": 2}},
    "validation every 2 batches": {"trainer": {"val_check_interval": 2}},
    "schedule per epoch": {"model": {"scheduler": {"type": "StepLR", "step_size": 1}, "interval": "epoch"}},
    "ReduceLROnPlateau": {
        "model": {
            "scheduler": {"type": "ReduceLROnPlateau", "monitor": "val/sum", "patience": 0, "threshold": 9.0},
            "interval": "epoch",
        }
    },
    "early stopping": {
        "trainer": {
            "max_epochs": 9,
            "callbacks": [{"type": "EarlyStopping", "monitor": "val/sum", "min_delta": 9.0, "patience": 1}],
        }
    },
    "two workers": {"data": {"num_workers": 2}, "trainer": {"max_epochs": 2}},
    "evaluation": {"evaluation": {"every_n_epochs": 1}},
}


@pytest.mark.parametrize("setting", slow_except(SETTINGS, "accumulated batches"))
def test_wrong_length_changes_nothing(setting: str, fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Announced are 7 batches for 5, or 12 for the 10 of two workers, each of which reads the whole stream."""
    if "Lightning's step" in setting:
        monkeypatch.setattr(loops, "is_available", lambda feature: False)
    came, announced, samples = (10, 12, 100) if setting == "two workers" else (5, 7, 60)
    without, wrong = (
        fit(str(length), SETTINGS[setting], {"data": {"train": {"announced": length}}}) for length in (None, samples)
    )
    assert differing(outcome(without), outcome(wrong)) == []
    assert names_of(without) == names_of(wrong)
    progress = torch.load(without / "checkpoints/last.ckpt", weights_only=True)["loops"]["fit_loop"]
    batches = progress["epoch_loop.batch_progress"]["current"]["processed"]
    assert batches == came
    warning = f"WARNING data.train ended after {came} of {announced} batches, and with it the epoch; schedules over"
    assert (wrong / "err.txt").read_text().count(warning) == 1
    assert "data.train ended" not in (without / "err.txt").read_text()


def validations(run: Path) -> list[int]:
    """Return the steps of the validations: the number of batches before each."""
    return [step for step, _ in curves(run)["val/sum"]]


@pytest.mark.parametrize(
    ("announced", "trainer", "expected"),
    [
        pytest.param(42, {}, [5, 10, 15], marks=pytest.mark.slow),  # the right length
        pytest.param(None, {"limit_train_batches": 9}, [5, 10, 15], marks=pytest.mark.slow),
        pytest.param(60, {"limit_train_batches": 9}, [5, 10, 15], marks=pytest.mark.slow),
        (80, {"limit_train_batches": 0.7}, [5, 10, 15]),  # 7 of 10 batches are announced
        (60, {"val_check_interval": 3}, [3, 8, 13]),  # as with the right length, not at the end
        (60, {"val_check_interval": 0.5}, [3, 8, 13]),  # of 7 batches: every 3; of 5: every 2, and not at the end
        (60, {"val_check_interval": 7}, [5, 10, 15]),  # would be refused with the right length
        pytest.param(None, {"val_check_interval": 7}, [5, 10, 15], marks=pytest.mark.slow),
        (60, {"val_check_interval": 7, "check_val_every_n_epoch": None}, [7, 14]),  # across epochs
        pytest.param(60, {"check_val_every_n_epoch": 3}, [15], marks=pytest.mark.slow),
    ],
)
def test_validations(announced: int | None, trainer: dict[str, Any], expected: list[int], fit: Fit) -> None:
    run = fit("run", {"data": {"train": {"announced": announced}}, "trainer": trainer})
    assert validations(run)[: len(expected)] == expected
    assert len(validations(run)) == len(expected) * (3 if len(expected) == 5 else 1)


def test_epochs_of_a_stream_longer_than_its_length(fit: Fit) -> None:
    """Five batches, announced as three: epochs of 3, 2 and 3 batches, as the second one continues."""
    run = fit("run", {"data": {"train": {"announced": 24}}})
    assert validations(run) == [3, 5, 8]
    assert names_of(run)[1:4] == [f"epoch_000{epoch}_step_00000{step}.ckpt" for epoch, step in ((0, 3), (1, 5), (2, 8))]
    assert (run / "err.txt").read_text().count("data.train ended after 2 of 3 batches") == 1


class ShortSampler(RandomSampler):
    """Sampler that announces all samples and yields two."""

    def __iter__(self) -> Iterator[int]:
        yield from range(2)


class OwnData(LightningDataModule):
    """Data module whose loaders are torch's own.

    Args:
        samples: samples of the training set, of which two at most are loaded.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples

    def train_dataloader(self) -> DataLoader[Any]:
        samples = IndexImages(self.samples)
        return DataLoader(samples, sampler=ShortSampler(samples) if self.samples else None)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(IndexImages(4), batch_size=2)


def own_data(tiny: Callable[..., str], samples: int) -> str:
    """Write a yaml with this data module; TINY has settings of the engine's own."""
    config = yaml.safe_load(Path(tiny()).with_name("base.yaml").read_text())
    config["data"] = {"type": "tests.core.training.test_fetching.OwnData", "samples": samples}
    config["trainer"] |= {"max_epochs": 2, "limit_train_batches": 1.0}
    path = Path(tiny()).with_name("own.yaml")
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_sampler_of_the_user_may_announce_too_much(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", own_data(tiny, 10))
    assert ran.code == 0, ran.err
    assert validations(tmp_path / "experiments/tiny") == [2, 4]
    assert "epoch_0000_step_000002.ckpt" in names_of(tmp_path / "experiments/tiny")


def test_order_of_a_dataset_may_be_shorter_in_some_epochs(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """48 samples in epochs 0 and 2, 24 in epoch 1."""
    train = {"type": "tests.core.components.CustomCollateAndOrder", "length": 48}
    ran = cli("fit", "--config", tiny(NO_LENGTH | {"data": RANDOM["data"] | {"train": train}}))
    assert ran.code == 0, ran.err
    assert validations(tmp_path / "experiments/tiny") == [6, 9, 15]
    assert ran.err.count("data.train ended after 3 of 6 batches") == 1


def test_only_lengths_that_may_be_wrong_need_a_batch_ahead() -> None:
    def loader(dataset: Any) -> Any:
        return build_loader(dataset, "data.train", 2, 0, True)

    samples = TensorDataset(torch.zeros(4, 1))
    exact = [DataLoader(samples), DataLoader(samples, shuffle=True), DataLoader(samples, batch_size=None)]
    assert all(map(has_exact_length, [*exact, loader(IndexImages(4))]))
    inexact = [[1, 2], DataLoader(IndexStream(4)), DataLoader(samples, sampler=ShortSampler(samples))]
    assert not any(map(has_exact_length, [*inexact, loader(IndexStream(4)), loader(CustomCollateAndOrder(4))]))


@pytest.mark.parametrize("announced", [None, 3, 0, 100])
def test_training_without_a_batch_is_refused(
    announced: int | None, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    train = {"type": "tests.core.components.AnnouncedIndexStream", "length": 3, "announced": announced}
    ran = cli("fit", "--config", tiny(NO_LENGTH | {"data": RANDOM["data"] | {"train": train}}))
    lines = [line for line in ran.err.splitlines() if not line[:2].isdigit()]
    if announced in (3, 0):
        location = "data.train (AnnouncedIndexStream)"
        assert lines == [f"error: data.batch_size is 8, but {location} has {announced} samples: not one whole batch"]
    else:
        assert lines[0] == "error: data.train has no batch in epoch 1"
        assert len(lines) == 2
    assert ran.code == 2
    assert not (tmp_path / "experiments").exists()


def test_epoch_without_a_batch_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    """The dataset does not start again."""
    train = {"type": "tests.core.components.OnePass", "length": 16}
    config = tiny(NO_LENGTH | {"data": RANDOM["data"] | {"train": train}})
    ran = cli("fit", "--config", config)
    assert (ran.code, "error: data.train has no batch in epoch 2" in ran.err) == (2, True), ran.err
    assert "epoch_0000_step_000002.ckpt" in names_of(tmp_path / "experiments/tiny")
    ran = cli("fit", "--config", config, "--name", "one", "--trainer.max_epochs", "1")
    assert ran.code == 0, ran.err
    ran = cli("fit", "--resume", "experiments/one")
    assert ran.code == 0, ran.err


def test_empty_loader_of_the_users_data_module_is_refused(cli: Cli, tiny: Callable[..., str], tmp_path: Path) -> None:
    ran = cli("fit", "--config", own_data(tiny, 0))
    assert (ran.code, "error: data.train has no batch in epoch 1" in ran.err) == (2, True), ran.err
    assert not (tmp_path / "experiments").exists()

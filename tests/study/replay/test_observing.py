"""What a replay observes: the observed steps keep the bits of the run, and the records are right."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from project.commands import main
from project.core.errors import ConfigError
from project.study.replay import sample_losses
from project.study.replay.batches import Array
from project.study.replay.console import describe_record
from project.study.replay.logged import compare_logged
from project.study.replay.notebook import replay_step
from project.study.replay.observing import StepObserver
from project.study.replay.replaying import Replayed, replay_steps
from project.study.replay.step_record import StepRecord
from tests.conftest import TINY, Cli
from tests.core.run.test_exact_resume import RANDOM, VARIANTS
from tests.exactness import differing
from tests.study.replay.test_kinds import checkpoint_of, trained_state

OBSERVED = "tests.study.replay.observed"
RUN: Mapping[str, Any] = TINY | {
    "model": {
        "net": {"type": f"{OBSERVED}.Structured"},
        "loss": {
            "cross_entropy": {"type": "tests.components.CrossEntropy"},
            "weighted": {"type": f"{OBSERVED}.ClassWeighted"},
            "drifting": {"type": f"{OBSERVED}.Drifting"},
        },
        "optimizer": {"type": "SGD", "lr": 0.5},
        "ema": 0.9,
        "clip": {"value": 0.1},
    },
    "data": {"batch_size": 32, "train": {"type": f"{OBSERVED}.NamedGlyphs", "split": "train"}},
    "trainer": TINY["trainer"] | {"limit_train_batches": 12, "log_every_n_steps": 1, "accumulate_grad_batches": 2},
    "checkpoint": {"every_n_steps": 1, "keep": -1},
}


def train(directory: Path, over: Mapping[str, Any], name: str = "run") -> Path:
    """Train a run, and return its directory."""
    file = directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**over, "name": name, "root": str(directory / "experiments")}, sort_keys=False))
    assert main(["fit", "--config", str(file)]) == 0
    return directory / "experiments" / name


class Observed:
    """Steps of a run, observed in a replay.

    Args:
        run: the run directory.
        first: the first step.
        last: the last step; None for `first`.
        states: steps after which the state is captured.
    """

    def __init__(self, run: Path, first: int, last: int | None = None, states: tuple[int, ...] = ()) -> None:
        self.records: dict[int, StepRecord] = {}
        self.batches: dict[int, dict[str, Array]] = {}
        observer = StepObserver(first, last or first, self._add)
        self.replayed: Replayed = replay_steps(run, first, last or first, [observer], states, trust=True)

    def _add(self, record: StepRecord, batch: dict[str, Array]) -> None:
        self.records[record.step], self.batches[record.step] = record, batch


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train the run that all tests share."""
    return train(tmp_path_factory.mktemp("observing"), RUN)


@pytest.fixture(scope="module")
def observed(run: Path) -> Observed:
    """Observe two steps of it."""
    return Observed(run, 3, 4, (4,))


def test_observing_changes_no_bit(run: Path, observed: Observed) -> None:
    """Dropout, batch norm, an average of the weights, clipping, accumulation, and losses that have a state."""
    compared = compare_logged(run, observed.replayed)
    assert (compared.differing, compared.verdict) == ([], "equal")
    saved = trained_state(torch.load(checkpoint_of(run, 4), weights_only=True))
    assert differing(trained_state(observed.replayed.states[4]), saved) == []
    assert not torch.is_anomaly_enabled()


def test_samples_have_names_and_their_losses(observed: Observed) -> None:
    """Only cross entropy is a mean over the samples; a class-weighted one, and one that draws numbers, are not."""
    record, batch = observed.records[3], observed.batches[3]
    assert record.divides == {"cross_entropy": True, "weighted": False, "drifting": False, "sum": False}
    assert [len(record.samples), record.batches, len(set(record.seeds))] == [64, [5, 6], 2]
    losses = [sample.losses["cross_entropy"] for sample in record.samples]
    assert losses == sorted(losses, reverse=True)
    assert np.mean(losses) == pytest.approx(record.losses["cross_entropy"])
    by_row = {sample.row: sample for sample in record.samples}
    assert [by_row[row].index for row in range(64)] == batch["index"].tolist()
    assert all(sample.name == f"glyph {sample.index}" for sample in record.samples)


@pytest.mark.slow
def test_losses_of_very_many_samples_are_left_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss is called for each sample: of a large batch that would take minutes, and the record says so."""
    monkeypatch.setattr(sample_losses, "_MAX_ROWS", 31)
    observed = Observed(run, 4)
    record = observed.records[4]
    assert "losses of samples are unknown: a batch has 32 samples, more than 31" in record.notes
    assert not any(sample.losses for sample in record.samples)
    assert compare_logged(run, observed.replayed).verdict == "equal"


def test_norms_of_parameters_gradients_and_changes(run: Path, observed: Observed) -> None:
    """SGD changes a parameter by its rate times the clipped gradient."""
    record = observed.records[3]
    assert record.rates == {"lr-SGD": 0.5}
    before, after = (
        torch.load(checkpoint_of(run, step), weights_only=True)["moving_average"]["trained_state_dict"]
        for step in (2, 3)
    )
    total = 0.0
    for parameter in record.parameters:
        old = before[parameter.name]
        change = (after[parameter.name] - old).norm().item()
        assert parameter.norm == pytest.approx(old.norm().item(), rel=1e-5)
        assert parameter.update_ratio == pytest.approx(change / old.norm().item(), rel=1e-4) or not parameter.norm
        assert 0.5 * parameter.gradient_norm == pytest.approx(change, rel=1e-3, abs=1e-7)  # type: ignore[operator]
        total += parameter.gradient_norm**2  # type: ignore[operator]
    assert total**0.5 == pytest.approx(0.1, rel=1e-4)  # model.clip
    assert sum((each.unclipped_norm or 0.0) ** 2 for each in record.parameters) > total


def test_activations_of_modules_with_any_output(observed: Observed) -> None:
    """Each module is seen once per batch, before backward, with the name of each part of its output."""
    record = observed.records[3]
    found = {(each.module, each.output, each.call): each for each in record.activations}
    outputs = {(module, output) for module, output, _ in found if module.startswith("net")}
    body = {("net.body", "logits"), ("net.body", "more.halves.0"), ("net.body.norm", ""), ("net.body.layer", "")}
    assert outputs == body | {("net", "logits"), ("net.drop", "")}
    assert {call for _, _, call in found} == {0, 1}
    norm, drop = found["net.body.norm", "", 0], found["net.drop", "", 1]
    assert (norm.type, norm.shape, norm.non_finite) == ("BatchNorm1d", [32, 64], 0)
    assert norm.std == pytest.approx(1, abs=0.3)
    assert abs(norm.mean) < 0.2
    assert 0.25 < drop.zeros < 0.8


def test_batch_is_that_of_the_dataset(observed: Observed) -> None:
    from tests.components import Glyphs

    batch, record = observed.batches[4], observed.records[4]
    expected = Glyphs("train").__getitems__(batch["index"].tolist())
    assert all(np.array_equal(batch[name], expected[name]) for name in ("image", "label"))
    image = next(tensor for tensor in record.tensors if tensor.name == "image")
    assert (image.shape, image.dtype, image.non_finite) == ([64, 1, 8, 8], "float32", 0)
    assert image.mean == pytest.approx(float(expected["image"].mean()))


@pytest.mark.slow
def test_origin_of_nan_is_the_sample(tmp_path: Path) -> None:
    """A run that trains on NaN without noticing."""
    data = {"batch_size": 400, "train": {"type": f"{OBSERVED}.Broken", "split": "train"}}
    net = {"type": "tests.components.MLP", "in_features": 64, "num_classes": 10, "hidden": 8}
    run = train(
        tmp_path,
        {**RUN, "data": data, "model": TINY["model"] | {"net": net, "metric": None}, "trainer": TINY["trainer"]},
    )
    record = Observed(run, 1).records[1]
    bad = sorted(
        sample.name for sample in record.samples if (sample.index or 0) % 100 == 0 and sample.index is not None
    )
    assert bad
    assert record.non_finite[0].startswith("the batch: image is not finite in glyph ")
    assert all(name in record.non_finite[0] for name in bad)
    assert "the loss is nan; it began in the batch: image is not finite" in record.non_finite[1:]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_observing_changes_no_bit_of_a_run_of_each_kind(
    variant: str, cli: Cli, tiny: Callable[..., str], tmp_path: Path
) -> None:
    config, over = tiny(RANDOM), tiny({"base": []} | VARIANTS[variant], "over.yaml")
    assert cli("fit", "--config", config, "--config", over).code == 0
    run = tmp_path / "experiments/tiny"
    last = max(int(torch.load(path, weights_only=True)["global_step"]) for path in (run / "checkpoints").glob("epoch*"))
    saved = trained_state(torch.load(checkpoint_of(run, last), weights_only=True))
    checkpoint_of(run, last).unlink()
    observed = Observed(run, last, None, (last,))
    assert last in observed.records
    assert compare_logged(run, observed.replayed).differing == []
    assert differing(trained_state(observed.replayed.states[last]), saved) == []


@pytest.mark.slow
def test_observing_changes_no_bit_of_a_compiled_net(tmp_path: Path) -> None:
    """The modules of a compiled net are left out, because their hooks would be compiled, too."""
    run = train(tmp_path, {**RUN, "model": RUN["model"] | {"compile": True}})
    observed = Observed(run, 3, 4)
    compared = compare_logged(run, observed.replayed)
    assert (compared.differing, compared.verdict) == ([], "equal")
    names = {each.module for each in observed.records[3].activations if each.module.startswith("net")}
    assert names == {"net"}


@pytest.mark.slow
def test_step_that_was_left_out_is_shown_with_its_batch(tmp_path: Path) -> None:
    """A run that StopAtSpike stopped goes on without the step; the replay needs no StopAtSpike."""
    trainer = RUN["trainer"] | {"callbacks": [{"type": "StopAtSpike", "window": 2, "factor": 100}]}
    run = train(tmp_path, {**RUN, "skip_steps": [3], "trainer": trainer})
    observed = Observed(run, 2, 4, (4,))
    saved = trained_state(torch.load(checkpoint_of(run, 4), weights_only=True))
    left = {path: value for path, value in saved.items() if "StopAtSpike" not in path}
    assert differing(trained_state(observed.replayed.states[4]), left) == []
    record = observed.records[3]
    assert (record.skipped, record.batches, record.losses, record.activations) == (True, [5, 6], {}, [])
    assert len(record.samples) == len(observed.batches[3]["index"]) == 64
    assert [observed.records[step].skipped for step in (2, 4)] == [False, False]
    assert describe_record(record)[0] == "step 3, epoch 1, batch 5, 6: left out (skip_steps); nothing was computed"
    with pytest.raises(ConfigError, match=r"^step 3 of .* was left out \(skip_steps\): nothing was computed in it$"):
        replay_step(run, 3, trust=True)


@pytest.mark.parametrize(
    ("mean", "loss", "is_close"),
    [(1.0, 1.00001, True), (1.0, 1.1, False), (float("inf"), float("nan"), True), (1.0, float("nan"), False)],
)
def test_mean_of_losses_of_samples_is_compared_with_the_loss(mean: float, loss: float, is_close: bool) -> None:
    """Of a sample alone, 0 / 0 may round to 1e-9 / 0: the sample is shown all the same."""
    assert sample_losses._is_close(mean, torch.tensor(loss)) == is_close
